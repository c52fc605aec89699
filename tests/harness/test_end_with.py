"""Processes that end when the one they work for is gone."""

import subprocess
import sys

import pytest

WORKER = """
import os, time
from rlp_bench.run.end_with import end_with
end_with({0})
print(flush=True)
time.sleep(600)
"""
PARENT = f"""
import subprocess, sys, time
code = {WORKER.format("os.getppid()")!r}
worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
worker.stdout.read(1)
print(worker.pid, flush=True)
time.sleep(600)
"""


def start(code: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_worker_ends_with_a_process_that_is_not_its_parent() -> None:
    other = start("input()")
    worker = start(WORKER.format(other.pid))
    assert worker.stdout is not None
    worker.stdout.read(1)
    assert worker.poll() is None
    other.kill()
    other.wait()
    assert worker.wait(120) == 1


def test_a_worker_ends_with_its_parent_while_nobody_has_waited_for_that() -> None:
    parent = start(PARENT)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()  # and stays a zombie until the end of the test
    alive = subprocess.run(
        ["timeout", "120", "tail", "--pid", str(worker), "-f", "/dev/null"], check=False
    )  # ends with the worker
    assert alive.returncode == 0
    parent.wait()


@pytest.mark.parametrize("process", [0, 1])
def test_a_worker_of_nobody_or_of_another_users_process_goes_on(process: int) -> None:
    worker = start(WORKER.format(process))
    assert worker.stdout is not None
    worker.stdout.read(1)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(2)
    worker.kill()
    worker.wait()
