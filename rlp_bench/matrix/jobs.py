"""Executes one job of a graph: a stage, a tuning measurement, or the evaluation of a run."""

import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.report import SuiteReport
from rlp_bench.api.seals import opened, write_sealed
from rlp_bench.display import Display
from rlp_bench.evaluation.evaluate import evaluate_record
from rlp_bench.matrix.trajectory import Point, points_of
from rlp_bench.matrix.tuning import measure
from rlp_bench.plan.graph import Plan, build_plan
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.records import RunRecord, read_record, run_folder
from rlp_bench.run.runner import StageRunner, run_plan
from rlp_bench.store.store import Store

POINTS = "points.json"


@dataclass(frozen=True)
class JobSpec:
    """The serializable description of a job."""

    what: Literal["stage", "tune", "evaluate", "report"]
    """"evaluate": evaluation in a matrix; "report": evaluation of a single run."""
    method: str
    seed: int
    tuned: Mapping[str, Any] | None = None
    fingerprint: str = ""
    """Fingerprint of the stage to run, or of the policy to measure or evaluate."""
    value: float = 0.0
    """The hyperparameter value to measure."""
    suites: Sequence[str] | None = None
    """Suite aliases of a report; None: the recipe's."""


def execute(job: JobSpec, recipe: Recipe, store: Store) -> dict[str, Any]:
    """Executes a job; returns its seconds and the result for `schedule.finish`, as JSON values.

    Raises:
        BenchError: a user error, or the packages installed here give another plan than the driver's.
    """
    began = time.monotonic()
    plan = build_plan(recipe, job.method, job.seed, job.tuned)
    if job.fingerprint not in {node.fingerprint for node in plan.nodes}:
        raise BenchError(
            f"{job.method} seed {job.seed}: the plan built on {socket.gethostname()} differs from the driver's; "
            "install the same versions of rlp-bench and its plug-ins there"
        )
    call = {"stage": _stage, "tune": _tune, "evaluate": _evaluate, "report": _report}[job.what]
    found = call(job, plan, store, Display(quiet=True))
    return {"seconds": time.monotonic() - began, **found}


def _stage(job: JobSpec, plan: Plan, store: Store, display: Display) -> dict[str, Any]:
    nodes = {node.fingerprint: node for node in plan.nodes}
    node = nodes[job.fingerprint]
    with StageRunner(plan.recipe, store, display) as runner:
        inputs = {
            handle.fingerprint: runner.make(nodes[handle.fingerprint], {}, job.seed)
            for handle in node.sources()
        }
        runner.make(node, inputs, job.seed)
    return {}


def _tune(job: JobSpec, plan: Plan, store: Store, display: Display) -> dict[str, Any]:
    record = run_plan(plan, store, display)
    with StageRunner(plan.recipe, store, display) as runner:
        measured = measure(record, job.value, store, runner, display.task("tune"))
    return {"measured": measured}


def _evaluate(job: JobSpec, plan: Plan, store: Store, display: Display) -> dict[str, Any]:
    record = run_plan(plan, store, display)
    report = evaluate_record(record, store, None, display)
    _write_points(record, store, plan.recipe, display)
    rated = [one for one in report["suites"] if one.get("win_rate") is not None]
    first: SuiteReport = rated[0] if rated else {}
    folder = run_folder(store, plan).relative_to(store.root).as_posix()
    return {"run": {"folder": folder, "suite": first.get("alias"), "win_rate": first.get("win_rate")}}


def _report(job: JobSpec, plan: Plan, store: Store, display: Display) -> dict[str, Any]:
    evaluate_record(run_plan(plan, store, display), store, job.suites, display)
    return {}


def _write_points(record: RunRecord, store: Store, recipe: Recipe, display: Display) -> None:
    """Writes points.json: snapshots of the last PPO stage on the first suite, for comparison at equal KL."""
    stage = read_record(record.path)["stages"][-1]["trainer"]
    if not recipe.evaluation.trajectory or stage != "ppo":
        return
    suite = recipe.evaluation.suites[0]
    with StageRunner(recipe, store, display) as runner:
        points = points_of(record, store, runner, suite, display, recipe.evaluation.trajectory)
    rows = [{**point.row(), "scores": dict(point.scores)} for point in points]
    with store.writing(record.path):
        write_sealed(record.path / POINTS, {"points": rows})


def read_points(path: Path) -> list[Point]:
    """The points of a run's points.json.

    Raises:
        DataError: it is damaged, or was changed.
    """
    remedy = "run the same `rlp-bench matrix` command again, which writes it anew"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, list):  # a list has no seal; it was written before there were any
            found = opened(found, f'"{path}":', remedy)["points"]
        return [Point(**row) for row in found]
    except OSError as error:
        raise DataError(f'"{path}": cannot be read ({error.strerror}); {remedy}') from None
    except (ValueError, RecursionError, TypeError, KeyError):
        raise DataError(f'"{path}": is not a list of points, or truncated; {remedy}') from None
