"""Where the jobs of a matrix run: processes of this machine, a Ray cluster, or Slurm jobs.

`rlp_bench.matrix.schedule` decides what can start (dependencies, equal stages once); an `Executor` runs it. All of them
hand the same `Task` to the same entry point (`rlp_bench.matrix.executors.worker.execute`) on the same store, so that
an artifact is the same wherever it was made.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.matrix.executors.requirements import Requirements
from rlp_bench.matrix.jobs import JobSpec
from rlp_bench.recipes.schema import Recipe

EXECUTORS = {
    "local": "rlp_bench.matrix.executors.local:LocalExecutor",
    "ray": "rlp_bench.matrix.executors.ray_cluster:RayExecutor",
    "slurm": "rlp_bench.matrix.executors.slurm:SlurmExecutor",
}
PACKAGES = {"ray": "ray", "slurm": "submitit"}
"""Executor -> the package it needs; the extra has the executor's name."""


@dataclass(frozen=True)
class Task:
    """One job, as an executor is given it."""

    key: str
    name: str
    """For people: "ppo seed 0 reward"."""
    stage: str
    """A trainer's name, "data", "tune" or "evaluate": what a person's options for it are found by."""
    work: JobSpec
    needs: Requirements


class Executor(Protocol):
    """Does orders somewhere. All calls come from one thread."""

    name: str
    slots: int
    """Most orders that may be in its hands at once."""

    def check(self, task: Task) -> None:
        """Raises BenchError where nobody there could ever do it; asked of all orders before the first begins."""

    def submit(self, task: Task) -> None:
        """Takes an order whose inputs are all sealed."""

    def ended(self, seconds: float) -> Sequence[tuple[str, str]]:
        """(key, answer of `worker.execute`) of orders that have ended; waits so long at most for a first one."""

    def running(self) -> set[str]:
        """Keys of the orders that a process has begun; the others wait for a place."""

    def close(self) -> None:
        """Cancels what is left and lets go of the cluster."""


def open_executor(spec: str, recipe: Recipe, root: Path, jobs: int) -> Executor:
    """The executor of "local", "ray", "ray:ADDRESS", "ray:FILE.toml" or "slurm:FILE.toml".

    Args:
        root: the store's folder.
        jobs: how many processes at once, where this machine does the work.

    Raises:
        UnknownName: there is no such executor. BenchError: it cannot be had here; the line says what to do.
    """
    name, _, argument = spec.partition(":")
    if name not in EXECUTORS:
        raise UnknownName(f'--executor "{spec}": no such executor; {nearest(name, EXECUTORS)}')
    if argument.startswith("//"):  # --executor ray://HOST:PORT
        argument = spec
    module, _, factory = EXECUTORS[name].partition(":")
    made: Executor = getattr(import_module(module), factory)(argument, recipe, root.resolve(), jobs)
    return made


def package(executor: str) -> Any:
    """The package that an executor needs.

    Raises:
        BenchError: it is not installed.
    """
    name = PACKAGES[executor]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise BenchError(
            f'--executor {executor}: package {name} is not installed; `pip install "rlp-bench[{executor}]"`'
        ) from None


def encode(task: Task, recipe: Recipe, root: Path, exchange: Path | None = None) -> str:
    """What `worker.execute` is sent: JSON."""
    content = {
        "key": task.key,
        "name": task.name,
        "work": asdict(task.work),
        "recipe": recipe.model_dump(mode="json"),
        "root": str(root),
        "folder": str(Path.cwd()),
        "exchange": None if exchange is None else str(exchange),
    }
    return json.dumps(content)


def failure(line: str) -> str:
    """The answer of an order that never answered."""
    return json.dumps({"error": line})


def outcome(answer: str) -> dict[str, Any]:
    """What `worker.execute` answered.

    Raises:
        BenchError: the job failed; the message is the one that rose there.
    """
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise BenchError(found["error"])
    return found
