"""Executor in processes of this machine."""

import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from rlp_bench.api.errors import BenchError
from rlp_bench.matrix.executors.executor import Task, encode
from rlp_bench.matrix.executors.worker import execute
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.end_with import end_with


class LocalExecutor:
    """A pool of `jobs` processes, one job each; stages start no sampling workers."""

    name = "local"

    def __init__(self, argument: str, recipe: Recipe, root: Path, jobs: int) -> None:
        if argument:
            raise BenchError(f'--executor "local:{argument}": local takes no argument; see --jobs')
        compute = recipe.compute.model_copy(update={"processes": 1})
        self.recipe, self.root, self.slots = recipe.model_copy(update={"compute": compute}), root, jobs
        self._pool = ProcessPoolExecutor(
            jobs, get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)
        )
        self._futures: dict[Future[str], str] = {}

    def check(self, task: Task) -> None:
        """Checks nothing: all tasks run on this machine."""

    def submit(self, task: Task) -> None:
        """See `Executor`."""
        self._futures[self._pool.submit(execute, encode(task, self.recipe, self.root))] = task.key

    def ended(self, seconds: float) -> Sequence[tuple[str, str]]:
        """See `Executor`."""
        done, _ = wait(self._futures, seconds, FIRST_COMPLETED)
        return [(self._futures.pop(future), future.result()) for future in done]

    def running(self) -> set[str]:
        """See `Executor`."""
        return set(self._futures.values())

    def close(self) -> None:
        """Cancels queued jobs and does not wait for running ones; the same command resumes."""
        self._pool.shutdown(wait=False, cancel_futures=True)
