"""`rlp-bench export`."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.cli.options import STORE, Json, Store


def export(
    run: Annotated[str | None, typer.Argument(help="A run's name or folder; default: the newest.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A new or empty folder; default: one named like the run.")
    ] = None,
    push: Annotated[
        str | None, typer.Option("--push", help="OWNER/NAME on the hub; the token is HF_TOKEN.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="A repository that --push makes is public, not private.")
    ] = False,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Write a run's policy as a plain Hugging Face checkpoint with a model card."""
    from rlp_bench.cli.commands.export import export_command

    export_command(run, out, push, public, store, as_json)
