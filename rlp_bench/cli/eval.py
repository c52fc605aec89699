"""`rlp-bench eval`: evaluates a run, a checkpoint, a model behind an endpoint, or a file of outputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlp_bench.cli.options import (
    STORE,
    Json,
    OptionalRecipe,
    RunName,
    Sets,
    StoreFolder,
    Strict,
    SuiteAliases,
    plugin_names,
)
from rlp_bench.display import Display, print_json, show, table

if TYPE_CHECKING:
    from rlp_bench.api.report import Report


def evaluate(
    suites: SuiteAliases = None,
    run: RunName = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="A checkpoint folder, or openai:MODEL for an endpoint.")
    ] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Server of openai:MODEL.")] = None,
    outputs: Annotated[
        Path | None, typer.Option("--outputs", help="A file of outputs in AlpacaEval's format.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="name or name:argument.", autocompletion=plugin_names("judge")),
    ] = None,
    order: Annotated[
        str | None, typer.Option("--order", help="both, random, policy_first, reference_first.")
    ] = None,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Accept missing items.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="The suite's data file, if it needs one.")
    ] = None,
    recipe: OptionalRecipe = None,
    overrides: Sets = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help='Maximum to spend: dollars ("5") or "200000tokens".')
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests and their maximum cost; send nothing.")
    ] = False,
    strict: Strict = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Evaluate a run, a checkpoint, or a file of outputs."""
    from rlp_bench.api.rows import reading
    from rlp_bench.endpoint import spending
    from rlp_bench.evaluation.evaluate import eval_command
    from rlp_bench.store.store import Store

    with Display(quiet=as_json) as display, reading(strict) as files:
        task = display.task("evaluate")
        report = eval_command(
            suites=suites, run=run, policy=policy, outputs=outputs, judge=judge, order=order,
            allow_missing=allow_missing, data=data, recipe=recipe, overrides=overrides or [], base_url=base_url,
            budget=budget, dry_run=dry_run, store=Store(store), progress=task,
        )  # fmt: skip
        task.close()
        for line in [*files.lines(), *(spending() if not dry_run else ())]:
            display.say(line)
    for one in (report, *report.get("suites", ())):
        one.update(files.found())
    (_print_estimate if dry_run else _print_report)(report, as_json)


def _print_report(report: "Report", as_json: bool) -> None:
    """Prints the report, whose suites are a list, be it one or several."""
    from rlp_bench.evaluation.evaluate import render

    if as_json:
        print_json(report)
    else:
        show(*render(report))


def _print_estimate(report: Mapping[str, Any], as_json: bool) -> None:
    """Prints a dry run's rows and their total; "?" without a price or limit."""
    if as_json:
        print_json(report)
        return

    def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
        dollars = row["dollars_at_most"]
        counts = (row["to_send"], row["prompt_tokens_at_most"], row["completion_tokens_at_most"])
        found = tuple("?" if count is None else f"{count:,}" for count in counts)
        return (*found, "?" if dollars is None else f"${dollars:,.2f}")

    rows = [(row["suite"], row["asked"], *cells(row)) for row in report["rows"]]
    header = ["suite", "asked", ">requests", ">prompt tokens <", ">answer tokens <", ">cost <"]
    show(table("Dry run: nothing was sent", header, [*rows, ("total", "", *cells(report["total"]))]))
