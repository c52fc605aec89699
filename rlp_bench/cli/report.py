"""`rlp-bench report ...`: reports over many runs."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.cli.options import STORE, Json, MatrixName, RecipeName, Sets, Store

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
    from rlp_bench.cli.commands.reports import preference_accuracy_command

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
    from rlp_bench.cli.commands.reports import results_command

    results_command(matrix, out, store, as_json)


@report.command("html")
def report_html(
    matrix: MatrixName = None,
    out: Annotated[Path, typer.Option("--out", help="The page: one file, everything in it.")] = Path(
        "report.html"
    ),
    instructions: Annotated[
        int,
        typer.Option("--instructions", help="Shown with every method's answer, at the lowest seed.", min=0),
    ] = 60,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """A matrix as one HTML file: leaderboard, charts, claims, curves, answers side by side."""
    from rlp_bench.cli.commands.html import html_command

    html_command(matrix, out, instructions, store, as_json)


@report.command("throughput")
def report_throughput(
    matrix: MatrixName = None,
    runs: Annotated[
        list[str] | None,
        typer.Option("--runs", help="These runs instead of a matrix: names or folders; repeatable."),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="text, md, csv or json.")] = "text",
    price: Annotated[
        float | None,
        typer.Option("--price", help="Dollars an hour of one device; without it the cost is unknown."),
    ] = None,
    peak_flops: Annotated[
        float | None, typer.Option("--peak-flops", help="What the device can do, for the utilisation.")
    ] = None,
    measure_peak: Annotated[
        bool, typer.Option("--measure-peak", help="Measure that here, by a matrix product.")
    ] = False,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Seconds, tokens, samples and steps a second, memory, FLOPs, utilisation, device-hours and cost."""
    from rlp_bench.cli.commands.throughput import throughput_command

    form = "json" if as_json else format
    throughput_command(matrix, runs or [], form, price, peak_flops, measure_peak, store)
