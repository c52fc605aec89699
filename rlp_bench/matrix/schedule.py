"""Schedules many methods and seeds under one recipe; each distinct stage runs once.

The jobs of a matrix are the stages of all plans (a stage shared by several methods is one job), the measurements for
[tuning], and the evaluation of every run. `schedule` executes them with an executor; stages in the store are reused.
The result is `matrix.json`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.seals import read_sealed, write_sealed
from rlp_bench.matrix.executors.executor import Executor, Task, outcome
from rlp_bench.matrix.executors.requirements import Requirements, evaluation_requirements, stage_requirements
from rlp_bench.matrix.jobs import JobSpec
from rlp_bench.matrix.tuning import beyond, candidate, candidates, choose
from rlp_bench.plan.graph import Node, Plan, build_plan
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.runner import is_done
from rlp_bench.store.store import Store

MATRIX = "matrix.json"
TICK_SECONDS = 2.0
"""Interval at which `schedule` yields while no job ends."""


@dataclass(frozen=True)
class Job:
    """One job and its dependencies."""

    key: str
    what: Literal["stage", "tune", "evaluate", "report"]
    method: str
    """For a shared stage, the first method that needs it."""
    seed: int
    label: str
    work: JobSpec
    needs: frozenset[str] = frozenset()
    asks: Requirements = field(default_factory=Requirements)
    """Resource requirements."""
    trainer: str = ""
    """Trainer of a stage; empty for other jobs."""

    @property
    def name(self) -> str:
        """Display name."""
        return f"{self.method} seed {self.seed} {self.label}"

    @property
    def task(self) -> Task:
        """The job as an executor's task."""
        return Task(self.key, self.name, self.trainer or self.what, self.work, self.asks)


@dataclass
class Matrix:
    """The jobs of a matrix and their state."""

    recipe: Recipe
    methods: Sequence[str]
    seeds: Sequence[int]
    store: Store
    match_steps: bool
    tuned: bool
    jobs: dict[str, Job] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """Key -> error message; dependent jobs are not started."""
    running: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    """Key -> duration, of every job done by this call."""
    measured: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    runs: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    """(method, seed) -> folder and win rate."""

    @property
    def group(self) -> str:
        """The recipe's id, with "+tuned" where [tuning] is applied."""
        return f"{self.recipe.id}+tuned" if self.tuned else self.recipe.id

    @property
    def folder(self) -> Path:
        """The folder of matrix.json."""
        return self.store.root / "matrix" / self.group

    def choice(self, method: str) -> dict[str, float]:
        """The tuned setting of a method; {} if it is not tuned."""
        found = self.measured.get(method)
        return {self.recipe.tuning.setting: choose(found)} if found else {}

    def tuning_left(self, method: str) -> bool:
        """Whether a value of a method is still to be measured, or could not be."""
        return any(
            j.what == "tune" and j.method == method and key not in self.done for key, j in self.jobs.items()
        )

    def waiting(self) -> list[Job]:
        """Jobs that can start now, in the order they were added."""
        started = self.done | self.running | self.failed.keys()
        return [j for j in self.jobs.values() if j.key not in started and j.needs <= self.done]

    def blocked(self) -> list[Job]:
        """Jobs that cannot start because a dependency failed."""
        found: set[str] = set(self.failed)
        grown = True
        while grown:
            new = {j.key for j in self.jobs.values() if j.key not in found and j.needs & found}
            grown, found = bool(new), found | new
        return [self.jobs[key] for key in found if key not in self.failed]

    def add(self, job: Job) -> None:
        """Adds a job, unless its key exists."""
        self.jobs.setdefault(job.key, job)


def begin(matrix: Matrix) -> None:
    """Adds all jobs that are known at the start: tuning first, then the stages and runs of every seed.

    Raises:
        RecipeError, UnknownName: a plan is invalid; no job has been started.
    """
    tuned_methods = []
    for method in matrix.methods:
        options = candidates(matrix.recipe, method) if matrix.tuned else []
        if options:
            tuned_methods.append(method)
            matrix.measured[method] = []
        for value, plan in options:
            _add_tuning(matrix, plan, value)
    for seed in matrix.seeds:
        for method in matrix.methods:
            plan = build_plan(matrix.recipe, method, seed)
            if method in tuned_methods:
                _add_stages(matrix, plan, [n for n in plan.nodes if n is not plan.final])
            else:
                _add_run(matrix, method, seed)


def finish(matrix: Matrix, job: Job, result: Mapping[str, Any]) -> None:
    """Records a job's result; after the last measurement of a method, adds its runs."""
    matrix.done.add(job.key)
    matrix.seconds[job.key] = result["seconds"]
    if job.what == "evaluate":
        matrix.runs[job.method, job.seed] = dict(result["run"])
    if job.what == "tune":
        found = [*matrix.measured[job.method], result["measured"]]
        matrix.measured[job.method] = sorted(found, key=lambda m: m["value"])
        if not matrix.tuning_left(job.method):
            more = beyond(matrix.measured[job.method], matrix.recipe.tuning.values)
            if more is not None:
                _add_tuning(matrix, candidate(matrix.recipe, job.method, more), more)
                return
            for seed in matrix.seeds:
                _add_run(matrix, job.method, seed)


def _add_tuning(matrix: Matrix, plan: Plan, value: float) -> None:
    """The stages of a plan with one value, and the job that measures it."""
    _add_stages(matrix, plan, plan.nodes)
    final = plan.final.fingerprint
    made = JobSpec("tune", plan.method, plan.seed, dict(plan.tuned or {}), final, value)
    label = f"{matrix.recipe.tuning.setting} {value:g}"
    asks = evaluation_requirements(matrix.recipe)
    key = f"tune/{plan.method}/{value!r}"
    matrix.add(Job(key, "tune", plan.method, plan.seed, label, made, frozenset({final}), asks))


def _add_run(matrix: Matrix, method: str, seed: int) -> None:
    tuned = matrix.choice(method) if matrix.tuned else None
    plan = build_plan(matrix.recipe, method, seed, tuned)
    _add_stages(matrix, plan, plan.nodes)
    made = JobSpec("evaluate", method, seed, tuned, plan.final.fingerprint)
    _add_evaluation(matrix, plan, f"evaluate/{method}/{seed}", "evaluate", made)


def add_one(matrix: Matrix, plan: Plan, evaluate: bool, suites: Sequence[str] | None) -> None:
    """Adds the jobs of a single run: its stages and its report."""
    _add_stages(matrix, plan, plan.nodes)
    if evaluate:
        made = JobSpec("report", plan.method, plan.seed, plan.tuned, plan.final.fingerprint, suites=suites)
        _add_evaluation(matrix, plan, f"report/{plan.method}/{plan.seed}", "report", made)


def _add_evaluation(
    matrix: Matrix, plan: Plan, key: str, what: Literal["evaluate", "report"], made: JobSpec
) -> None:
    needs = frozenset(node.fingerprint for node in plan.nodes)
    asks = evaluation_requirements(matrix.recipe)
    matrix.add(Job(key, what, plan.method, plan.seed, "evaluate", made, needs, asks))


def _add_stages(matrix: Matrix, plan: Plan, nodes: Sequence[Node]) -> None:
    for node in nodes:
        needs = frozenset(handle.fingerprint for handle in node.sources())
        made = JobSpec("stage", plan.method, plan.seed, plan.tuned, fingerprint=node.fingerprint)
        asks = stage_requirements(node, matrix.recipe)
        matrix.add(
            Job(
                node.fingerprint, "stage", plan.method, plan.seed, node.label, made, needs, asks, node.trainer
            )
        )
        if is_done(node, matrix.store):
            matrix.done.add(node.fingerprint)


def schedule(matrix: Matrix, executor: Executor) -> Iterator[Job | None]:
    """Executes all jobs; yields each job when it ends, done or failed, and None in between. Closes the executor.

    A failed job stops only its dependents.

    Raises:
        BenchError: a job needs resources that the executor can never provide; no job has been started.
    """
    try:
        for job in matrix.jobs.values():
            if job.key not in matrix.done:
                executor.check(job.task)
        while True:
            for job in matrix.waiting()[: executor.slots - len(matrix.running)]:
                matrix.running.add(job.key)
                executor.submit(job.task)
            if not matrix.running:
                return
            answers = executor.ended(TICK_SECONDS)
            for key, answer in answers:
                job = matrix.jobs[key]
                matrix.running.discard(key)
                try:
                    finish(matrix, job, outcome(answer))
                except BenchError as error:
                    matrix.failed[key] = str(error)
                yield job
            if not answers:
                yield None
    finally:
        executor.close()


def read_matrix(path: Path) -> dict[str, Any]:
    """The content of matrix.json.

    Raises:
        DataError: it is damaged, or was changed.
    """
    remedy = "run the same `rlp-bench matrix` command again, which writes it anew, or remove it"
    what = f'matrix "{path}"'
    try:
        found = read_sealed(path, what, remedy)
    except FileNotFoundError:
        raise DataError(f"{what}: does not exist; `rlp-bench matrix` makes one") from None
    kinds = {"recipe_id": str, "recipe": dict, "runs": list, "methods": list, "seeds": list, "tuning": dict}
    run = {"folder": str, "method": str, "seed": int}
    if not _has(found, kinds) or not all(_has(one, run) for one in found["runs"]):
        raise DataError(f"{what}: lacks a key, or has a value of another type; {remedy}")
    return found


def _has(value: Any, kinds: Mapping[str, type]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())


def write_matrix(matrix: Matrix, wall_seconds: float) -> Path:
    """Writes matrix.json atomically: the arguments, the tuned values with measurements, and the run folders."""
    rule = matrix.recipe.tuning.model_dump(mode="json")
    document = {
        "matrix_version": 1,
        "recipe_id": matrix.group,
        "recipe": matrix.recipe.model_dump(mode="json"),
        "seeds": list(matrix.seeds),
        "methods": list(matrix.methods),
        "match_steps": matrix.match_steps,
        "tuning": {
            "rule": rule if matrix.tuned else None,
            "choices": {
                method: {"value": choose(found), "measured": [dict(m) for m in found]}
                for method, found in matrix.measured.items()
                if found
            },
        },
        "runs": [
            {"method": method, "seed": seed, **matrix.runs[method, seed]}
            for method in matrix.methods
            for seed in matrix.seeds
            if (method, seed) in matrix.runs
        ],
        "failed": {key: matrix.failed[key] for key in sorted(matrix.failed)},
        "wall_seconds": round(wall_seconds, 1),
        "job_seconds": round(sum(matrix.seconds.values()), 1),
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with matrix.store.writing(matrix.folder):
        matrix.folder.mkdir(parents=True, exist_ok=True)
        write_sealed(matrix.folder / MATRIX, document)
    return matrix.folder / MATRIX
