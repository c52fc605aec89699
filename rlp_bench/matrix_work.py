"""What a process of a matrix does: one stage, one measurement, or the evaluation of one run."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from rlp_bench.nouns import write_json
from rlp_bench.plan import build_plan
from rlp_bench.progress import Display
from rlp_bench.recipe import Recipe, load_recipe
from rlp_bench.records import RunRecord, read_record, run_folder
from rlp_bench.run import Workshop, evaluate_record, run_plan
from rlp_bench.store import Store
from rlp_bench.trajectory import points_of
from rlp_bench.tuning import measure

POINTS = "points.json"
PARENT_SECONDS = 1.0
"""How often a process looks whether its matrix still runs."""


@dataclass(frozen=True)
class Work:
    """A job as it is sent to a process."""

    what: Literal["stage", "tune", "evaluate"]
    method: str
    seed: int
    tuned: Mapping[str, Any] | None = None
    fingerprint: str = ""
    """Of the stage that is to be made."""
    value: float = 0.0
    """The value that is measured."""


def work(job: Work, recipe_name: str, overrides: list[str], root: str) -> dict[str, Any]:
    """Does it; returns its seconds and what `matrix.finish` notes. Errors rise in the parent."""
    began = time.monotonic()
    recipe, store, display = _recipe(recipe_name, tuple(overrides)), Store(Path(root)), Display(quiet=True)
    found = {"stage": _stage, "tune": _tune, "evaluate": _evaluate}[job.what](job, recipe, store, display)
    return {"seconds": time.monotonic() - began, **found}


def end_with_parent(parent: int) -> None:
    """Ends this process when `parent`, which started it, is gone: a killed matrix leaves nobody waiting for work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@cache
def _recipe(name: str, overrides: tuple[str, ...]) -> Recipe:
    """One process a job: stages must not start more of them."""
    return load_recipe(name, [*overrides, "compute.processes=1"])


def _stage(job: Work, recipe: Recipe, store: Store, display: Display) -> dict[str, Any]:
    plan = build_plan(recipe, job.method, job.seed, job.tuned)
    nodes = {node.fingerprint: node for node in plan.nodes}
    node = nodes[job.fingerprint]
    with Workshop(recipe, store, display) as workshop:
        inputs = {
            handle.fingerprint: workshop.bring_about(nodes[handle.fingerprint], {}, job.seed)
            for handle in node.sources()
        }
        workshop.bring_about(node, inputs, job.seed)
    return {}


def _tune(job: Work, recipe: Recipe, store: Store, display: Display) -> dict[str, Any]:
    record = run_plan(build_plan(recipe, job.method, job.seed, job.tuned), store, display)
    with Workshop(recipe, store, display) as workshop:
        measured = measure(record, job.value, store, workshop, display.task("tune"))
    return {"measured": measured}


def _evaluate(job: Work, recipe: Recipe, store: Store, display: Display) -> dict[str, Any]:
    plan = build_plan(recipe, job.method, job.seed, job.tuned)
    record = run_plan(plan, store, display)
    report = evaluate_record(record, store, None, display)
    _write_points(record, store, recipe, display)
    rated = [one for one in report["suites"] if one.get("win_rate") is not None]
    first: dict[str, Any] = rated[0] if rated else {}
    folder = run_folder(store, plan).relative_to(store.root).as_posix()
    return {"run": {"folder": folder, "suite": first.get("alias"), "win_rate": first.get("win_rate")}}


def _write_points(record: RunRecord, store: Store, recipe: Recipe, display: Display) -> None:
    """points.json: snapshots along the last PPO on the first suite, for comparisons at equal KL."""
    stage = read_record(record.path)["stages"][-1]["trainer"]
    if not recipe.evaluation.trajectory or stage != "ppo":
        return
    suite = recipe.evaluation.suites[0]
    with Workshop(recipe, store, display) as workshop:
        points = points_of(record, store, workshop, suite, display, recipe.evaluation.trajectory)
    rows = [{**point.row(), "scores": dict(point.scores)} for point in points]
    partial = record.path / f".{POINTS}"
    write_json(partial, rows)
    partial.replace(record.path / POINTS)
