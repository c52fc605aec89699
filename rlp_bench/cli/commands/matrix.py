"""`matrix`: many methods and seeds under one recipe, with a live table; and what came out."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.cli.commands.dry_run import print_dry
from rlp_bench.display import duration, print_json, show, table
from rlp_bench.matrix.executors.executor import Executor, open_executor
from rlp_bench.matrix.schedule import Job, Matrix, begin, schedule, write_matrix
from rlp_bench.matrix.states import kind, states
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.records import open_run, run_folder
from rlp_bench.run.runner import set_threads
from rlp_bench.run.trackers import Tracking, chosen_trackers
from rlp_bench.store.store import Store

STAND_IN = " (stand-in)"
LINE_SECONDS = 10.0
"""Least time between two lines while no job ends."""
MATCHED = ("stages.reward.match_steps=true", "stages.reward_uml.match_steps=true")


def matrix_command(
    methods: str,
    seeds: str,
    recipe_name: str,
    overrides: Sequence[str],
    jobs: int,
    match_steps: bool,
    tuned: bool,
    root: Path,
    as_json: bool,
    track: Sequence[str] | None = None,
    by: tuple[str, bool] = ("local", False),
) -> None:
    """Plans everything, works it off, writes matrix.json, prints the tables; exit status 1 if a job failed."""
    overrides = [*overrides, *(MATCHED if match_steps else ())]
    trackers = chosen_trackers(track)
    recipe = load_recipe(recipe_name, overrides)
    tuned = tuned and bool(recipe.tuning.stage)
    matrix = Matrix(
        recipe, chosen_methods(methods, recipe), chosen_seeds(seeds), Store(root), match_steps, tuned
    )
    set_threads(1)
    begin(matrix)
    spec, dry = by
    if dry:
        print_dry(matrix, spec, as_json)
        return
    began = time.monotonic()
    executor = open_executor(spec, recipe, matrix.store.root, jobs)
    ended = _tracked(matrix, schedule(matrix, executor), trackers)
    for line in _watch(matrix, ended, executor, as_json):
        print(line, file=sys.stderr, flush=True)
    written = write_matrix(matrix, time.monotonic() - began)
    if as_json:
        print_json(json.loads(written.read_text(encoding="utf-8")))
    else:
        show(_grid(matrix, {}), *summary(matrix))
        print(f"matrix: {written} ({duration(time.monotonic() - began)})")
    if matrix.failed:
        for key, error in matrix.failed.items():
            print(f"failed: {matrix.jobs[key].name}: {error}", file=sys.stderr)
        raise BenchError(
            f"matrix: {len(matrix.failed)} jobs failed and {len(matrix.blocked())} could not begin; "
            "the others are kept: mend the cause, run the same command"
        )


def _tracked(matrix: Matrix, ended: Iterator[Job | None], trackers: Sequence[str]) -> Iterator[Job | None]:
    """Jobs as they end; a run's curves are written here, when it is done, so that no two processes write one."""
    tracking = Tracking(matrix.store, trackers)
    for job in ended:
        if trackers and job is not None and job.what in ("tune", "evaluate") and job.key in matrix.done:
            plan = build_plan(matrix.recipe, job.method, job.seed, job.work.tuned)
            record = open_run(run_folder(matrix.store, plan), matrix.store)
            tracking.stages(record.path, record.lineage)
        yield job


def chosen_methods(text: str, recipe: Any) -> list[str]:
    """ "all", or names with commas between; the simplest plan first.

    Raises:
        UnknownName: one is not installed.
    """
    names = registry.names("method") if text == "all" else [n.strip() for n in text.split(",") if n.strip()]
    if not names:
        raise BenchError('matrix --methods: is empty; expected "all" or names with commas between')
    for name in names:
        registry.origin("method", name)
    if text != "all":
        return list(dict.fromkeys(names))
    return sorted(names, key=lambda name: (len(build_plan(recipe, name, 0).nodes), name))


def chosen_seeds(text: str) -> list[int]:
    """ "0..4", "0,2,7", or one number."""
    try:
        first, dots, last = text.partition("..")
        found = list(range(int(first), int(last) + 1)) if dots else [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise BenchError(f'matrix --seeds "{text}": expected "0..4" or "0,2,7"')
    return list(dict.fromkeys(found))


def _watch(matrix: Matrix, ended: Iterator[Job | None], executor: Executor, quiet: bool) -> Iterator[str]:
    """Lines to print; on a terminal a live table instead."""
    if quiet:
        for _ in ended:
            pass
        return
    began = said = time.monotonic()
    if not sys.stderr.isatty():
        for job in ended:
            if job is not None:
                state = "FAILED" if job.key in matrix.failed else f"{matrix.seconds[job.key]:.0f} s"
                yield f"{_counts(matrix, executor)} · {job.name}: {state}"
            elif executor.name != "local" and time.monotonic() - said >= LINE_SECONDS:
                said = time.monotonic()
                yield states(matrix, executor)
        return
    from rich.console import Console, Group
    from rich.live import Live

    latest: dict[tuple[str, int], str] = {}
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        for job in ended:
            if job is not None:
                latest = {(job.method, job.seed): job.label}
            note = f"{_counts(matrix, executor)}, {duration(time.monotonic() - began)} so far"
            live.update(Group(_grid(matrix, latest), states(matrix, executor), note), refresh=True)


def _counts(matrix: Matrix, executor: Executor) -> str:
    at_once = max(1, min(executor.slots, len(executor.running())))
    left = _left(matrix) / at_once
    return f"{len(matrix.done)}/{len(matrix.jobs)} jobs, about {duration(left)} left"


def _left(matrix: Matrix) -> float:
    """Seconds of work of all known jobs that are not done, by what like jobs took; unlike any: their mean."""
    by_label: dict[str, list[float]] = {}
    for key, seconds in matrix.seconds.items():
        by_label.setdefault(kind(matrix.jobs[key]), []).append(seconds)
    every = [seconds for found in by_label.values() for seconds in found] or [0.0]
    overall = sum(every) / len(every)
    waiting = [job for key, job in matrix.jobs.items() if key not in matrix.done]
    means = {label: sum(found) / len(found) for label, found in by_label.items()}
    unknown = sum(1 for m in matrix.measured if not any(k.startswith(f"evaluate/{m}/") for k in matrix.jobs))
    later = unknown * len(matrix.seeds) * (means.get("ppo", overall) + means.get("evaluate", overall))
    return sum(means.get(kind(job), overall) for job in waiting) + later


def _grid(matrix: Matrix, latest: dict[tuple[str, int], str]) -> Any:
    """A row a method, a column a seed: win rate where it is evaluated, else how many of its stages are there."""
    rows = []
    for method in matrix.methods:
        choice = matrix.choice(method)
        complete = len(matrix.measured.get(method, ())) == len(matrix.recipe.tuning.values)
        chosen = ", ".join(f"{k} {v:g}" for k, v in choice.items()) if choice and complete else ""
        rows.append([method, chosen, *(_cell(matrix, method, seed, latest) for seed in matrix.seeds)])
    return table(matrix.group, ["method", "tuned", *(f">seed {seed}" for seed in matrix.seeds)], rows)


def _cell(matrix: Matrix, method: str, seed: int, latest: dict[tuple[str, int], str]) -> str:
    run = matrix.runs.get((method, seed))
    if run is not None:
        return "done" if run["win_rate"] is None else f"{run['win_rate']:.1f}"
    mine = [job for job in matrix.jobs.values() if (job.method, job.seed) == (method, seed)]
    if any(job.key in matrix.failed for job in mine):
        return "failed"
    running = next((job.label for job in mine if job.key in matrix.running), latest.get((method, seed)))
    return f"({running})" if running else "."


def summary(matrix: Matrix) -> list[Any]:
    """Tables: win rates with KL and length, differences from PPO and at equal KL, budgets; stand-ins marked."""
    from rlp_bench.analysis.compare import compare, means
    from rlp_bench.analysis.compute_budget import budget_rows
    from rlp_bench.analysis.item_scores import by_method, reports_of
    from rlp_bench.analysis.matrix_results import matched_to_ppo, points_of_matrix

    runs = [{"method": m, "seed": s, **run} for (m, s), run in matrix.runs.items()]
    suite = next((run["suite"] for run in runs if run["suite"]), None)
    if suite is None:
        return []
    reports = reports_of(matrix.store, runs)
    scores = by_method(matrix.store, reports, suite)
    marks = {m for m, seeds in reports.items() if any(r.get("stand_ins") for r in seeds.values())}
    found = means(scores)
    named = {name: name + (STAND_IN if name in marks else "") for name in matrix.methods}
    rates = [
        (
            named[name],
            f"{found[name]['win_rate']:.1f}",
            "{:.1f} to {:.1f}".format(*found[name]["ci95"]),
            _mean([(r.get("kl") or {}).get("mean") for r in reports[name].values()]),
            _mean([r["length_tokens"] for r in reports[name].values()]),
        )
        for name in matrix.methods
        if name in found
    ]
    tables = [table(f"Win rate, {suite}", ["method", ">percent", "95 %", ">KL", ">tokens"], rates)]
    if "ppo" in scores and len(scores) > 1:
        pairs = [(name, "ppo") for name in matrix.methods if name in scores and name != "ppo"]
        lines = [
            (named[r["candidate"]], *_difference(r), f"{r['p_holm']:.2g}", r["verdict"])
            for r in compare(scores, pairs)
        ]
        columns = ["method", ">difference", "95 %", ">Holm p", "verdict"]
        tables.append(table("Paired with ppo, points", columns, lines))
    matched = [
        r
        for r in matched_to_ppo(points_of_matrix(matrix.store, {"runs": runs}))
        if r["difference"] is not None
    ]
    if matched:
        lines = [(named[r["candidate"]], f"{r['kl']:g}", *_difference(r), f"{r['p']:.2g}") for r in matched]
        columns = ["method", ">KL", ">difference", "95 %", ">p"]
        tables.append(table("Against ppo at equal KL, points, uncorrected", columns, lines))
    columns, rows = budget_rows(matrix.store, [matrix.store.root / run["folder"] for run in runs])
    tables.append(
        table("Budget of a run, mean over seeds", columns, [[named[row[0]], *row[1:]] for row in rows])
    )
    return tables


def _difference(row: Mapping[str, Any]) -> tuple[str, str]:
    return f"{row['difference']:+.1f}", "{:+.1f} to {:+.1f}".format(*row["ci95"])


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.1f}" if known else ""
