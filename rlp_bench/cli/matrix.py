"""`rlp-bench matrix`: runs many methods and seeds under one recipe, with a live table and a summary."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.cli.options import (
    STORE,
    DryRun,
    ExecutorName,
    Json,
    NoCheck,
    RecipeName,
    Sets,
    StoreFolder,
    Strict,
    Track,
    method_list,
)
from rlp_bench.display import duration, live, print_json, print_message, print_text, show

if TYPE_CHECKING:
    from rlp_bench.matrix.executors.executor import Executor
    from rlp_bench.matrix.schedule import Job, Matrix
    from rlp_bench.recipes.schema import Recipe

LINE_SECONDS = 10.0
"""Minimum time between two lines while no job ends."""
MATCHED = ("stages.reward.match_steps=true", "stages.reward_uml.match_steps=true")

Methods = Annotated[
    str,
    typer.Option("--methods", help='"all", or comma-separated names.', autocompletion=method_list),
]
Seeds = Annotated[str, typer.Option("--seeds", help='"0..4", or comma-separated numbers.')]
Jobs = Annotated[int, typer.Option("--jobs", help="Processes on this machine, one thread each.", min=1)]
MatchSteps = Annotated[
    bool, typer.Option("--match-steps", help="Train all reward models with as many updates as the first.")
]
Tuned = Annotated[
    bool, typer.Option("--tuned/--untuned", help="Choose each method's setting by the recipe's [tuning].")
]


def matrix(
    methods: Methods = "all",
    seeds: Seeds = "0..4",
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    jobs: Jobs = 2,
    match_steps: MatchSteps = False,
    tuned: Tuned = True,
    executor: ExecutorName = "local",
    dry_run: DryRun = False,
    no_check: NoCheck = False,
    track: Track = None,
    strict: Strict = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Run many methods and seeds with shared stages, in parallel; a killed matrix resumes."""
    from rlp_bench.api.rows import reading
    from rlp_bench.cli.dry_run import print_dry
    from rlp_bench.matrix.executors.executor import open_executor
    from rlp_bench.matrix.schedule import Matrix, begin, read_matrix, schedule, write_matrix
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.run.runner import set_threads
    from rlp_bench.run.trackers import chosen_trackers
    from rlp_bench.store.store import Store

    trackers = chosen_trackers(track)
    read = load_recipe(recipe, [*(overrides or ()), *(MATCHED if match_steps else ())])
    tuned = tuned and bool(read.tuning.stage)
    planned = Matrix(
        read, chosen_methods(methods, read), chosen_seeds(seeds), Store(store), match_steps, tuned
    )
    set_threads(1)
    with reading(strict) as files:
        begin(planned)
    for line in files.lines():
        print_message(line)
    if dry_run:
        print_dry(planned, executor, as_json)
        return
    _check(planned, not no_check)
    began = time.monotonic()
    workers = open_executor(executor, read, planned.store.root, jobs)
    ended = _tracked(planned, schedule(planned, workers), trackers)
    with closing(workers):
        for line in _watch(planned, ended, workers, as_json):
            print_message(line)
    written = write_matrix(planned, time.monotonic() - began)
    if as_json:
        print_json({**read_matrix(written), **files.found()})
    else:
        _show(planned, f"matrix: {written} ({duration(time.monotonic() - began)})")
    _check_failed(planned)


def _check(matrix: "Matrix", reach: bool) -> None:
    """Checks everything that can be known before training, once for all methods and seeds."""
    from rlp_bench.evaluation.preflight import Scope, preflight, require
    from rlp_bench.plan.graph import build_plan

    plans = [build_plan(matrix.recipe, method, seed) for seed in matrix.seeds for method in matrix.methods]
    require(preflight(Scope(matrix.recipe, matrix.store, plans, reach=reach)))


def _show(matrix: "Matrix", last: str) -> None:
    from rlp_bench.cli.matrix_tables import grid, summary

    show(grid(matrix, {}), *summary(matrix))
    print_text(last)


def _check_failed(matrix: "Matrix") -> None:
    """Prints a line on stderr for every failed job.

    Raises:
        BenchError: a job failed.
    """
    for key, error in matrix.failed.items():
        print_message(f"failed: {matrix.jobs[key].name}: {error}")
    if matrix.failed:
        raise BenchError(
            f"matrix: {len(matrix.failed)} jobs failed and {len(matrix.blocked())} could not start; "
            "the others are kept: fix the cause, then run the same command"
        )


def _tracked(
    matrix: "Matrix", ended: "Iterator[Job | None]", trackers: Sequence[str]
) -> "Iterator[Job | None]":
    """Yields jobs as they end; writes each run's curves here, so that no two processes write the same one."""
    from rlp_bench.plan.graph import build_plan
    from rlp_bench.run.records import open_run, run_folder
    from rlp_bench.run.trackers import Tracking

    tracking = Tracking(matrix.store, trackers)
    for job in ended:
        if trackers and job is not None and job.what in ("tune", "evaluate") and job.key in matrix.done:
            plan = build_plan(matrix.recipe, job.method, job.seed, job.work.tuned)
            record = open_run(run_folder(matrix.store, plan), matrix.store)
            tracking.stages(record.path, record.lineage)
        yield job


def chosen_methods(text: str, recipe: "Recipe") -> list[str]:
    """The methods of "all" (the shortest plan first) or of comma-separated names.

    Raises:
        UnknownName: a method is not installed.
    """
    from rlp_bench.plan.graph import build_plan

    names = registry.names("method") if text == "all" else [n.strip() for n in text.split(",") if n.strip()]
    if not names:
        raise BenchError('matrix --methods: is empty; expected "all" or comma-separated names')
    for name in names:
        registry.origin("method", name)
    if text != "all":
        return list(dict.fromkeys(names))
    return sorted(names, key=lambda name: (len(build_plan(recipe, name, 0).nodes), name))


def chosen_seeds(text: str) -> list[int]:
    """The seeds of "0..4", "0,2,7", or one number."""
    try:
        first, dots, last = text.partition("..")
        found = list(range(int(first), int(last) + 1)) if dots else [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise BenchError(f'matrix --seeds "{text}": expected "0..4" or "0,2,7"')
    return list(dict.fromkeys(found))


def _watch(
    matrix: "Matrix", ended: "Iterator[Job | None]", executor: "Executor", quiet: bool
) -> Iterator[str]:
    """Yields progress lines; on a terminal shows a live table instead."""
    from rlp_bench.matrix.states import states

    if quiet:
        for _ in ended:
            pass
        return
    began = printed_at = time.monotonic()
    if not sys.stderr.isatty():
        for job in ended:
            if job is not None:
                state = "FAILED" if job.key in matrix.failed else f"{matrix.seconds[job.key]:.0f} s"
                yield f"{_counts(matrix, executor)} · {job.name}: {state}"
            elif executor.name != "local" and time.monotonic() - printed_at >= LINE_SECONDS:
                printed_at = time.monotonic()
                yield states(matrix, executor)
        return
    from rlp_bench.cli.matrix_tables import grid

    latest: dict[tuple[str, int], str] = {}
    with live() as update:
        for job in ended:
            if job is not None:
                latest = {(job.method, job.seed): job.label}
            note = f"{_counts(matrix, executor)}, {duration(time.monotonic() - began)} so far"
            update(grid(matrix, latest), states(matrix, executor), note)


def _counts(matrix: "Matrix", executor: "Executor") -> str:
    at_once = max(1, min(executor.slots, len(executor.running())))
    left = _left(matrix) / at_once
    return f"{len(matrix.done)}/{len(matrix.jobs)} jobs, about {duration(left)} left"


def _left(matrix: "Matrix") -> float:
    """Estimated seconds of all remaining jobs: the mean of finished jobs of the same kind, else of all."""
    from rlp_bench.matrix.states import kind

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
