"""`rlp-bench baseline ...` and `rlp-bench regress`: the regression gate."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.cli.options import STORE, Json, Store, Suites

baseline = typer.Typer(no_args_is_help=True, help="Accepted results, which `regress` compares with.")
Run = Annotated[str | None, typer.Option("--run", help="A run's name or folder; default: the newest.")]
Report = Annotated[
    Path | None, typer.Option("--report", help="Instead of a run: what `eval --json` printed, as a file.")
]


@baseline.command()
def accept(
    reason: Annotated[str, typer.Option("--reason", help="Why these numbers are right from now on.")],
    run: Run = None,
    report: Report = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Default: baselines/RECIPE-METHOD-sSEED.jsonl; .gz packs it."),
    ] = None,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Accept a run's scores, item by item, as what later runs are compared with; commit the file."""
    from rlp_bench.cli.commands.regress import accept_command

    accept_command(run, report, reason, out, store, as_json)


@baseline.command()
def show(
    file: Annotated[Path, typer.Argument(help="A baseline's file.")],
    as_json: Json = False,
) -> None:
    """Show what a baseline holds: suites, judge, order, versions, and why it was accepted."""
    from rlp_bench.cli.commands.regress import show_command

    show_command(file, as_json)


def regress(
    baseline: Annotated[Path, typer.Option("--baseline", help="A file of `baseline accept`.")],
    run: Run = None,
    report: Report = None,
    suites: Suites = None,
    margins: Annotated[
        list[str] | None,
        typer.Option(
            "--margin",
            help="SUITE=POINTS that may be lost; default 3 where a suite has 300 items; repeatable.",
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="No statistics: any item with another score is a regression.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Inconclusive is exit status 4, not 0.")] = False,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", help="Write Markdown here; default: appended to $GITHUB_STEP_SUMMARY."),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option("--history", help="Append the attempt here; default: BASELINE.history.jsonl."),
    ] = None,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Is a run worse than the baseline, item by item? Exit status 0 pass, 1 regression, 2 error, 3 incomparable."""
    from rlp_bench.cli.commands.regress import Asked, regress_command

    asked = Asked(baseline, run, report, suites or [], margins or [], exact, strict, junit, summary, history)
    raise typer.Exit(regress_command(asked, store, as_json))
