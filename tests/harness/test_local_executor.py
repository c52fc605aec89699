"""The processes of a matrix on this machine: one that is killed fails its own job, and all leave at once."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from rlp_bench.api.errors import BenchError
from rlp_bench.matrix.executors import local
from rlp_bench.matrix.executors.executor import outcome


class Task:
    def __init__(self, key: str) -> None:
        self.key = key


def job(sent: str) -> str:
    """Stands for `worker.execute`: "sleep" sleeps, anything else is answered with the process id."""
    if sent == "sleep":
        time.sleep(600)
    return f'{{"pid": {os.getpid()}}}'


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from multiprocessing import get_context

    from rlp_bench.recipes.load import load_recipe

    monkeypatch.setattr(local, "execute", job)
    monkeypatch.setattr(local, "get_context", lambda method: get_context("fork"))
    monkeypatch.setattr(local, "encode", lambda task, recipe, root: task.key)
    made = local.LocalExecutor("", load_recipe("nano"), tmp_path, 2)
    yield made
    made.close()


def ended(executor: Any) -> dict[str, str]:
    until, found = time.monotonic() + 60, {}
    while not found and time.monotonic() < until:
        found = dict(executor.ended(1.0))
    return found


def test_a_killed_worker_fails_its_own_job_and_the_next_job_gets_another(executor: Any) -> None:
    executor.submit(Task("sleep"))
    victim = executor._busy[0].process.pid
    executor.submit(Task("quick"))
    assert list(ended(executor)) == ["quick"]
    os.kill(victim, signal.SIGKILL)
    [(key, answer)] = ended(executor).items()
    assert key == "sleep"
    with pytest.raises(BenchError, match=rf"pid {victim}\) was killed by signal 9 \(SIGKILL\)"):
        outcome(answer)
    executor.submit(Task("after"))
    assert outcome(ended(executor)["after"])["pid"] != victim


def test_closing_does_not_wait_for_running_jobs(executor: Any) -> None:
    executor.submit(Task("sleep"))
    process = executor._busy[0].process
    time.sleep(0.5)
    began = time.monotonic()
    executor.close()
    assert not process.is_alive()
    assert time.monotonic() - began < local.END_SECONDS + 1
