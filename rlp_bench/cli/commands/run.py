"""`run`, `eval` and `leaderboard`."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.analysis.method_info import about
from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, DataError, UnknownName, nearest
from rlp_bench.cli.commands.dry_run import print_dry
from rlp_bench.display import Display, duration, pairs, print_json, print_text, show, table
from rlp_bench.evaluation.evaluate import evaluate_record
from rlp_bench.matrix.single_run import one_run, run_with_executor
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.records import REPORT, read_record, run_folders
from rlp_bench.run.runner import run_plan
from rlp_bench.run.trackers import FOLDER, Tracking, chosen_trackers
from rlp_bench.store.store import Store


def run_command(
    method: str,
    recipe_name: str,
    seed: int,
    overrides: Sequence[str],
    suites: Sequence[str] | None,
    evaluate: bool,
    track: Sequence[str] | None,
    root: Path,
    as_json: bool,
    by: tuple[str, bool] = ("local", False),
) -> None:
    """Trains, evaluates, prints the summary. `by`: which executor, and whether only to say what it would do."""
    registry.origin("method", method)  # a wrong name is said before anything is read
    recipe = load_recipe(recipe_name, overrides)
    check_suites(recipe, suites)
    trackers = chosen_trackers(track)
    store = Store(root)
    plan = build_plan(recipe, method, seed)
    spec, dry = by
    if dry:
        print_dry(one_run(plan, store, evaluate, suites), spec, as_json)
        return
    began = time.monotonic()
    with Display(quiet=as_json) as display:
        display.say(f"{method} on {recipe.id}, seed {seed}: {len(plan.nodes)} stages")
        tracking = Tracking(store, trackers)
        made = lambda folder, *stage: tracking.stages(folder, [stage])  # noqa: E731
        told = made if trackers else None
        if spec == "local":
            record = run_plan(plan, store, display, told)
            report = evaluate_record(record, store, suites, display) if evaluate else None
        else:
            record, report = run_with_executor(
                one_run(plan, store, evaluate, suites), plan, spec, display, told
            )
    if as_json:
        stages = {label: artifact.manifest["content"] for label, artifact in record.lineage}
        print_json(
            {"run": str(record.path), "policy": str(record.policy.path), "content": stages, "report": report}
        )
        return
    sections = []
    if report is not None:
        from rlp_bench.evaluation.evaluate import summarize

        sections = [pairs(title, rows) for title, rows in summarize(report)]
    stages_table = table("Stages", ["stage", ">seconds", ">CPU s", "where"], list(_spent(record.lineage)))
    where = {"run": record.path, "policy": record.policy.path}
    if report is not None:
        where["report"] = record.path / REPORT
    if trackers:
        where["curves"] = record.path / FOLDER
    show(*sections, stages_table, pairs(f"Done in {duration(time.monotonic() - began)}", where))


def check_suites(recipe: Recipe, suites: Sequence[str] | None) -> None:
    """Every alias is in the recipe.

    Raises:
        UnknownName: one is not.
    """
    for alias in suites or ():
        if alias not in recipe.suites:
            raise UnknownName(
                f'suite "{alias}" is not in recipe {recipe.name}: {nearest(alias, recipe.suites)}'
            )


def _spent(lineage: Sequence[tuple[str, Any]]) -> Any:
    for label, artifact in lineage:
        meter = artifact.path / "meter.json"
        figures = json.loads(meter.read_text()) if meter.exists() else {}
        wall, cpu = figures.get("wall_seconds"), figures.get("cpu_seconds")
        yield label, "" if wall is None else f"{wall:.1f}", "" if cpu is None else f"{cpu:.1f}", artifact.path


def eval_command(options: Mapping[str, Any], root: Path, as_json: bool) -> None:
    """Evaluates a run, a checkpoint or an outputs file; see `rlp_bench.evaluation.evaluate.eval_command`."""
    from rlp_bench.endpoint import spending
    from rlp_bench.evaluation import evaluate

    with Display(quiet=as_json) as display:
        task = display.task("evaluate")
        report = evaluate.eval_command(**options, store=Store(root), progress=task)
        task.close()
        for line in spending() if not options.get("dry_run") else ():
            display.say(line)
    if options.get("dry_run"):
        _show_estimate(report, as_json)
        return
    if as_json:
        suites = report.get("suites", [])
        one = list(suites.values()) if isinstance(suites, Mapping) else suites
        print_json(one[0] if len(one) == 1 else report)
        return
    rendered = evaluate.render(report)
    if isinstance(rendered, str):
        print_text(rendered)
    else:
        show(rendered)


def _show_estimate(report: Mapping[str, Any], as_json: bool) -> None:
    """A dry run's rows and their sum; what has no price or limit is "?"."""
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


def leaderboard_command(
    format: str, recipe: str | None, board: str, published: bool, root: Path, as_json: bool
) -> None:
    """Renders the reports of one recipe id; two recipes never share a table."""
    store = Store(root)
    registry.origin("board", board)
    found = [
        (read_record(folder)["recipe_id"], folder) for folder in run_folders(store) if _evaluated(folder)
    ]
    if not found:
        raise DataError(f'store "{root}": has no evaluated run; `rlp-bench run --method sft` makes one')
    chosen = _recipe_id(recipe, [recipe_id for recipe_id, _ in found])
    reports = [_report(folder) for recipe_id, folder in found if recipe_id == chosen]
    controls = {method: about(method)["control"] for method in {report["method"] for report in reports}}
    reports = [{**report, "control": controls[report["method"]]} for report in reports]
    if as_json:
        print_json({"recipe": chosen, "reports": reports})
    else:
        options = {"published": True} if published else {}
        print_text(registry.load("board", board)().render(reports, format, **options))


def _evaluated(folder: Path) -> bool:
    return (folder / REPORT).exists()


def _report(folder: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(
            f'"{folder / REPORT}": not JSON; `rlp-bench eval --run {folder.name}` makes it anew'
        ) from None
    return report


def _recipe_id(given: str | None, ids: Sequence[str]) -> str:
    """The recipe id that was meant: exactly that one, the newest of that name, or the only one there is."""
    if given in ids:
        return str(given)
    if given is None:
        different = sorted(set(ids))
        if len(different) > 1:
            raise BenchError(
                f"leaderboard: {len(different)} recipes have runs; choose by --recipe: {', '.join(different)}"
            )
        return ids[-1]
    fitting = sorted({one for one in ids if one.partition("@")[0] == given})
    if len(fitting) == 1:
        return fitting[0]
    current = load_recipe(given).id if given.endswith(".toml") or len(fitting) > 1 else None
    if current in ids:
        return str(current)
    raise UnknownName(f'recipe "{given}" has no evaluated run or several: {nearest(given, set(ids))}')
