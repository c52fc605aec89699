"""Executor in processes of this machine."""

import os
import signal
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

from rlp_bench.api.errors import BenchError
from rlp_bench.matrix.executors.executor import Task, encode, failure
from rlp_bench.matrix.executors.worker import execute
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.end_with import end_with, killed, terminate_as_interrupt

END_SECONDS = 2.0
"""Time that interrupted jobs have to remove what they have begun; then they are killed."""


class LocalExecutor:
    """Up to `jobs` processes, one job each; stages start no sampling workers.

    A process that is killed fails its own job; the next job gets a new process.
    """

    name = "local"

    def __init__(self, argument: str, recipe: Recipe, root: Path, jobs: int) -> None:
        if argument:
            raise BenchError(f'--executor "local:{argument}": local takes no argument; see --jobs')
        compute = recipe.compute.model_copy(update={"processes": 1})
        self.recipe, self.root, self.slots = recipe.model_copy(update={"compute": compute}), root, jobs
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []

    def check(self, task: Task) -> None:
        """Checks nothing: all tasks run on this machine."""

    def submit(self, task: Task) -> None:
        """See `Executor`."""
        alive = [worker for worker in self._idle if worker.process.is_alive()]
        worker = alive[0] if alive else _Worker()
        self._idle = alive[1:]
        worker.start(task.key, encode(task, self.recipe, self.root))
        self._busy.append(worker)

    def ended(self, seconds: float) -> Sequence[tuple[str, str]]:
        """See `Executor`."""
        wait([end for worker in self._busy for end in (worker.connection, worker.process.sentinel)], seconds)
        found = []
        for worker in list(self._busy):
            answer = worker.answer()
            if answer is not None:
                self._busy.remove(worker)
                self._idle.append(worker)
                found.append((worker.key, answer))
        return found

    def running(self) -> set[str]:
        """See `Executor`."""
        return {worker.key for worker in self._busy}

    def close(self) -> None:
        """Interrupts running jobs; the same command resumes."""
        workers, self._idle, self._busy = [*self._idle, *self._busy], [], []
        for worker in workers:
            worker.process.terminate()
        until = time.monotonic() + END_SECONDS
        for worker in workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()


class _Worker:
    """A process that executes jobs one after another."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, os.getpid()))
        self.process.start()
        theirs.close()
        self.key = ""

    def start(self, key: str, sent: str) -> None:
        """Starts a job."""
        self.key = key
        with suppress(OSError):  # it has just ended; `answer` says so
            self.connection.send(sent)

    def answer(self) -> str | None:
        """The job's result; None while it runs.

        Raises:
            RuntimeError: a bug in a stage; the message is the worker's traceback.
        """
        with suppress(EOFError, OSError):
            if self.connection.poll():
                whole, text = self.connection.recv()
                if not whole:
                    raise RuntimeError(f"job {self.key} failed:\n{text}")
                return str(text)
        if self.process.is_alive():
            return None
        self.process.join()
        return failure(f"its process (pid {self.process.pid}) {killed(self.process.exitcode or 0)}")


def _serve(connection: Connection, parent: int) -> None:
    """A worker's life: executes the jobs that it is sent; ends with its parent, or when it is interrupted."""
    end_with(parent)
    terminate_as_interrupt(once=True)
    with suppress(KeyboardInterrupt, EOFError, OSError):
        while True:
            sent = connection.recv()
            try:
                answer = (True, execute(sent))
            except Exception:
                answer = (False, traceback.format_exc())
            connection.send(answer)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is leaving
