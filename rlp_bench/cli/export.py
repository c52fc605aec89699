"""`rlp-bench export`: writes a run's policy as a Hugging Face checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.api.errors import BenchError
from rlp_bench.cli.options import STORE, Json, StoreFolder
from rlp_bench.display import print_json, print_text


def export(
    run: Annotated[str | None, typer.Argument(help="A run's name or folder; default: the newest.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A new or empty folder; default: named like the run.")
    ] = None,
    push_to: Annotated[
        str | None, typer.Option("--push", help="OWNER/NAME on the Hugging Face Hub; the token is HF_TOKEN.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make a repository created by --push public instead of private.")
    ] = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Write a run's policy as a plain Hugging Face checkpoint with a model card."""
    from rlp_bench.export.checkpoint import check_push, export_run, push
    from rlp_bench.run.records import find_run
    from rlp_bench.store.store import Store

    if public and push_to is None:
        raise BenchError("export --public: is given without --push; add --push OWNER/NAME")
    token = check_push(push_to) if push_to is not None else ""
    record = find_run(Store(store), run)
    folder = out or Path(record.path.name)
    files = export_run(record, folder)
    commit = None
    if push_to is not None:
        message = f"{record.method} on {record.group}, seed {record.seed}"
        commit = push(folder, push_to, token, message, public=public)
    if as_json:
        print_json({"folder": str(folder), "run": str(record.path), "files": files, "pushed": commit})
        return
    print_text("\n".join([f"{folder}: {', '.join(files)}", *([f"pushed: {commit}"] if commit else [])]))
