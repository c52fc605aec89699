"""`rlp-bench run`: runs one method at one seed, on this machine or a cluster."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import UnknownName, nearest
from rlp_bench.cli.options import (
    STORE,
    DryRun,
    ExecutorName,
    Json,
    MethodName,
    NoCheck,
    RecipeName,
    Seed,
    Sets,
    StoreFolder,
    Strict,
    SuiteAliases,
    Track,
)
from rlp_bench.display import Display, duration, pairs, print_json, show, table

if TYPE_CHECKING:
    from rlp_bench.api.report import Report
    from rlp_bench.plan.graph import Plan
    from rlp_bench.recipes.schema import Recipe
    from rlp_bench.run.records import RunRecord
    from rlp_bench.store.store import Store


def run(
    method: MethodName,
    recipe: RecipeName = "micro",
    seed: Seed = 0,
    overrides: Sets = None,
    suites: SuiteAliases = None,
    no_eval: Annotated[bool, typer.Option("--no-eval", help="Train only.")] = False,
    executor: ExecutorName = "local",
    dry_run: DryRun = False,
    no_check: NoCheck = False,
    track: Track = None,
    strict: Strict = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Train a method's stages (existing ones are reused), evaluate its policy, print a summary."""
    registry.origin("method", method)  # reports an unknown name before the recipe is read
    from rlp_bench.api.rows import reading
    from rlp_bench.cli.dry_run import print_dry
    from rlp_bench.evaluation.preflight import Scope, preflight, require
    from rlp_bench.matrix.single_run import one_run
    from rlp_bench.plan.graph import build_plan
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.run.trackers import chosen_trackers
    from rlp_bench.store.store import Store

    read = load_recipe(recipe, overrides or [])
    check_suites(read, suites)
    trackers = chosen_trackers(track)
    opened = Store(store)
    began = time.monotonic()
    with Display(quiet=as_json) as display, reading(strict) as files:
        plan = build_plan(read, method, seed)
        if dry_run:
            print_dry(one_run(plan, opened, not no_eval, suites), executor, as_json)
            return
        require(preflight(Scope(read, opened, [plan], not no_eval, suites, not no_check)))
        display.say(f"{method} on {read.id}, seed {seed}: {len(plan.nodes)} stages")
        said = files.lines()
        for line in said:
            display.say(line)
        record, report = _do(plan, opened, suites, not no_eval, executor, trackers, display)
        for line in files.lines()[len(said) :]:
            display.say(line)
    if as_json:
        stages = {label: artifact.manifest["content"] for label, artifact in record.lineage}
        found = {
            "run": str(record.path),
            "policy": str(record.policy.path),
            "content": stages,
            "report": report,
        }
        print_json({**found, **files.found()})
    else:
        _show(record, report, trackers, time.monotonic() - began)


def check_suites(recipe: "Recipe", suites: Sequence[str] | None) -> None:
    """Checks that the recipe has every alias.

    Raises:
        UnknownName: it does not.
    """
    for alias in suites or ():
        if alias not in recipe.suites:
            raise UnknownName(
                f'suite "{alias}" is not in recipe {recipe.name}: {nearest(alias, recipe.suites)}'
            )


def _do(
    plan: "Plan",
    store: "Store",
    suites: Sequence[str] | None,
    evaluate: bool,
    executor: str,
    trackers: Sequence[str],
    display: Display,
) -> "tuple[RunRecord, Report | None]":
    """Runs the plan, here or by an executor; (record, report), the report None without evaluation."""
    from rlp_bench.evaluation.evaluate import evaluate_record
    from rlp_bench.matrix.single_run import one_run, run_with_executor
    from rlp_bench.run.runner import run_plan
    from rlp_bench.run.trackers import Tracking

    tracking = Tracking(store, trackers)
    made = (lambda folder, *stage: tracking.stages(folder, [stage])) if trackers else None
    if executor != "local":
        return run_with_executor(one_run(plan, store, evaluate, suites), plan, executor, display, made)
    record = run_plan(plan, store, display, made)
    return record, evaluate_record(record, store, suites, display) if evaluate else None


def _show(record: "RunRecord", report: "Report | None", trackers: Sequence[str], seconds: float) -> None:
    """Prints the report's summary, the stages' times, and the output paths."""
    from rlp_bench.evaluation.evaluate import summarize
    from rlp_bench.run.records import REPORT
    from rlp_bench.run.trackers import FOLDER

    sections = [pairs(title, rows) for title, rows in summarize(report)] if report is not None else []
    stages = table("Stages", ["stage", ">seconds", ">CPU s", "where"], list(_spent(record.lineage)))
    where = {"run": record.path, "policy": record.policy.path}
    if report is not None:
        where["report"] = record.path / REPORT
    if trackers:
        where["curves"] = record.path / FOLDER
    show(*sections, stages, pairs(f"Done in {duration(seconds)}", where))


def _spent(lineage: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, str, str, Path]]:
    """Yields (stage, wall-clock seconds, CPU seconds, folder); "" for values that were not measured."""
    from rlp_bench.store.manifest import read_meter

    for label, artifact in lineage:
        figures = read_meter(artifact.path)
        wall, cpu = figures.get("wall_seconds"), figures.get("cpu_seconds")
        yield label, "" if wall is None else f"{wall:.1f}", "" if cpu is None else f"{cpu:.1f}", artifact.path
