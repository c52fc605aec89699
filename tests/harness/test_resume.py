"""Killed at any moment, the same command gives the same artifacts."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import PATIENCE, wait_until

Start = Callable[..., subprocess.Popen[str]]
Cli = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = ("run", "--method", "stranger", "--recipe", "greetings.toml", "--no-eval", "--store")


def contents(store: Path) -> dict[str, str]:
    """Artifact -> content hash."""
    found = sorted(store.glob("artifacts/[!.]*/manifest.json"))
    return {path.parent.name: json.loads(path.read_text())["content"] for path in found}


@pytest.mark.parametrize("attempt", range(2))
def test_kill_9_at_a_random_moment_then_the_same_command(
    cold_start: Start, recipe_file: Path, tmp_path: Path, attempt: int
) -> None:
    calm = cold_start(*COMMAND, "calm", STRANGER_STEP_SECONDS="0")
    assert calm.wait(PATIENCE) == 0
    moments = random.Random(attempt)
    for _ in range(3):
        process = cold_start(*COMMAND, "killed", STRANGER_STEP_SECONDS="0.1")
        time.sleep(0.3 + moments.random() * 1.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    last = cold_start(*COMMAND, "killed", STRANGER_STEP_SECONDS="0")
    said = last.communicate(timeout=PATIENCE)[1]
    assert last.returncode == 0, said
    assert contents(tmp_path / "killed") == contents(tmp_path / "calm")
    assert len(contents(tmp_path / "calm")) == 5
    assert list((tmp_path / "killed").glob("artifacts/.partial-*")) == []
    assert list((tmp_path / "killed").glob("scratch/*")) == []


def test_killed_stage_goes_on_from_its_checkpoint(start: Start, recipe_file: Path, tmp_path: Path) -> None:
    process = start(*COMMAND, "store", STRANGER_STUCK="1")
    wait_until(lambda: list(tmp_path.glob("store/scratch/*/step.json")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (run,) = tmp_path.glob("store/runs/greetings/*/run.json")
    assert json.loads(run.read_text())["status"] == "running"
    again = start(*COMMAND, "store", STRANGER_STEP_SECONDS="0")
    said = again.communicate(timeout=PATIENCE)[1]
    assert "stranger_parrot: resumed" in said
    meters = [json.loads(p.read_text()) for p in tmp_path.glob("store/artifacts/policy-*/meter.json")]
    resumed = [meter for meter in meters if meter["attempts"] == 2]
    assert len(resumed) == 1
    assert resumed[0]["counters"]["tokens_trained"] < 4 * 6  # steps x rows: not all of them were done again
    assert json.loads(run.read_text())["status"] == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_is_status_130_and_says_how_to_go_on(
    cold_start: Start, recipe_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = cold_start(*COMMAND, "store", STRANGER_STUCK="1")
    wait_until(lambda: list(tmp_path.glob("store/scratch/*/step.json")))
    process.send_signal(number)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert "run the same command to resume" in said
    assert "Traceback" not in said
    assert list(tmp_path.glob("store/artifacts/.partial-*")) == []


def sealed(store: Path) -> int:
    return len(list(store.glob("artifacts/[!.]*/manifest.json")))


def test_main_job_on_nano_is_the_same_after_kills_at_random_moments(
    start: Start, cli: Cli, nano_trained: Path, tmp_path: Path
) -> None:
    """The real trainers: SFT, preferences, reward model, PPO, samples, synthetic preferences, and again."""
    nano = ("run", "--method", "rlp_spg", "--recipe", "nano", "--no-eval", "--store")
    moments = random.Random(7)
    for target in (2, 5, 8):  # artifacts that are there when the kill comes, and a moment more
        process = start(*nano, "killed")
        wait_until(lambda: sealed(tmp_path / "killed") >= target)  # noqa: B023
        time.sleep(moments.random() * 0.8)
        with contextlib.suppress(ProcessLookupError):  # a fast machine was done
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    last = cli(*nano, "killed")
    assert last.returncode == 0, last.stderr
    assert contents(tmp_path / "killed") == contents(nano_trained)
    assert len(contents(nano_trained)) == 11
