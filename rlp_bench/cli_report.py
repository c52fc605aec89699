"""`rlp-bench report ...`: reports over many runs."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.cli_options import STORE, Json, MatrixName, RecipeName, Sets, Store

report = typer.Typer(no_args_is_help=True, help="Reports over many runs.")


@report.command("preference-accuracy")
def preference_accuracy(
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    methods: Annotated[list[str] | None, typer.Option("--method", help="Only these; repeatable.")] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed", help="Only these; repeatable.")] = None,
    pairs: Annotated[
        int | None,
        typer.Option("--pairs", help="Dev pairs a reward model is asked; default: the recipe's.", min=1),
    ] = None,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """How often synthetic preferences are right, beside a length rule; where reward models are right."""
    from rlp_bench.commands.reports import preference_accuracy_command

    preference_accuracy_command(recipe, overrides or [], methods or [], seeds or [], pairs, store, as_json)


@report.command("results")
def report_results(
    matrix: MatrixName = None,
    out: Annotated[
        Path, typer.Option("--out", help="The document; pictures go to figures/ beside it.")
    ] = Path("results.md"),
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """A matrix beside the paper's tables, with the verdict of every claim."""
    from rlp_bench.commands.reports import results_command

    results_command(matrix, out, store, as_json)
