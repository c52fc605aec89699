"""The executor protocol: runs the jobs of a matrix in processes of this machine, on a Ray cluster, or as Slurm jobs.

`rlp_bench.matrix.schedule` decides which jobs can start; an `Executor` runs them. All executors pass the same `Task` to
the same entry point (`rlp_bench.matrix.executors.worker.execute`) with the same store, so that artifacts do not depend
on the executor.
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
"""Executor -> the package that it needs; the pip extra has the executor's name."""


@dataclass(frozen=True)
class Task:
    """One job for an executor."""

    key: str
    name: str
    """Display name: "ppo seed 0 reward"."""
    stage: str
    """A trainer's name, "data", "tune" or "evaluate"; the key of the user's options for it."""
    work: JobSpec
    needs: Requirements


class Executor(Protocol):
    """Executes tasks. All calls come from one thread."""

    name: str
    slots: int
    """Maximum number of submitted tasks at a time."""

    def check(self, task: Task) -> None:
        """Raises BenchError if the task can never run; called for all tasks before the first one starts."""

    def submit(self, task: Task) -> None:
        """Submits a task whose inputs are all sealed."""

    def ended(self, seconds: float) -> Sequence[tuple[str, str]]:
        """(key, result of `worker.execute`) of ended tasks; waits at most `seconds` for the first one."""

    def running(self) -> set[str]:
        """Keys of the tasks that have started; the others are queued."""

    def close(self) -> None:
        """Cancels remaining tasks and disconnects from the cluster."""


def open_executor(spec: str, recipe: Recipe, root: Path, jobs: int) -> Executor:
    """The executor of "local", "ray", "ray:ADDRESS", "ray:FILE.toml" or "slurm:FILE.toml".

    Args:
        root: the store's folder.
        jobs: maximum number of processes on this machine.

    Raises:
        UnknownName: there is no such executor.
        BenchError: it is not available here; the message says what to do.
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
    """The imported package that an executor needs.

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
    """The JSON argument of `worker.execute`."""
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
    """The result of a task that ended without one."""
    return json.dumps({"error": line})


def outcome(answer: str) -> dict[str, Any]:
    """The decoded result of `worker.execute`.

    Raises:
        BenchError: the job failed; the message is the worker's.
    """
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        raise BenchError(found["error"])
    return found
