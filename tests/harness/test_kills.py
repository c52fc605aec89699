"""Kills of `run` and `matrix` at random moments, parents and workers: what is made in the end is as if undisturbed.

RLP_BENCH_KILLS=200 does so many; without it there are a few.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rlp_bench.api.files import TEMPORARY

KILLS = int(os.environ.get("RLP_BENCH_KILLS", "4"))
IN_A_ROW = 5
"""Kills of one store before it is finished and compared."""
SETS = [
    'suites.alpacafarm="micro_vicuna"', 'evaluation.suites=["alpacafarm"]', "evaluation.dev_pairs=8", "data.sft=64",
    "data.preferences=64", "stages.ppo.rollouts=2", "stages.ppo.snapshots=[1,2]", "stages.ppo.checkpoint_every=1",
    "stages.sft.checkpoint_every=1", "stages.reward.checkpoint_every=1", "evaluation.trajectory=[1]",
]  # fmt: skip
OPTIONS = ["--recipe", "nano", *(part for one in SETS for part in ("--set", one)), "--store", "store"]
COMMANDS = {
    "run": ["run", "--method", "ppo", *OPTIONS],
    "matrix": ["matrix", "--methods", "sft,ppo", "--seeds", "0", "--untuned", "--jobs", "2", *OPTIONS],
}


def stored(root: Path) -> dict[str, Any]:
    """Name -> content of all artifacts, reports and points; without times of day, durations and the store's path."""
    found: dict[str, Any] = {}
    for path in sorted((root / "artifacts").rglob("*")):
        if path.is_file() and path.name not in ("meter.json", "log.txt"):
            found[str(path.relative_to(root))] = path.read_bytes()
    for path in [*root.glob("runs/*/*/report.json"), *root.glob("runs/*/*/points.json")]:
        content = json.loads(path.read_text())
        found[str(path.relative_to(root))] = {k: v for k, v in content.items() if k not in ("seal", "store")}
    return found


def left_over(root: Path) -> list[str]:
    """Temporary names, partial folders and scratch files in a store."""
    return [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if TEMPORARY.fullmatch(path.name)
        or path.name.startswith(".partial-")
        or path.parent.name == "scratch"
    ]


def kill_one(process: Any, chance: random.Random) -> None:
    """Kills the parent, one of its workers, or all of them at once."""
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        workers = psutil.Process(process.pid).children(recursive=True)
        kind = chance.choice(["parent", "worker", "all"])
        if kind == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif kind == "worker" and workers:
            chance.choice(workers).kill()
        else:
            os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("what", COMMANDS)
def test_killed_anywhere_it_ends_with_the_bytes_of_an_undisturbed_one(
    what: str, start: Callable[..., Any], tmp_path: Path
) -> None:
    chance = random.Random(what)
    store = tmp_path / "store"
    began = time.monotonic()
    calm = start(*COMMANDS[what])
    assert calm.wait(600) == 0, calm.communicate()[1]
    seconds = time.monotonic() - began
    expected = stored(store)
    assert len(expected) > 20
    shutil.rmtree(store)
    left = (KILLS + 1) // 2
    while left > 0:
        for _ in range(min(IN_A_ROW, left)):
            process = start(*COMMANDS[what])
            time.sleep(chance.random() * seconds / IN_A_ROW * 2)
            kill_one(process, chance)
            said = process.communicate(timeout=600)[1]
            assert "Traceback" not in said, said
            left -= 1
        last = start(*COMMANDS[what])
        said = last.communicate(timeout=600)[1]
        assert last.returncode == 0, said
        found = stored(store)
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name] != expected[name]] == []
        assert left_over(store) == []
        shutil.rmtree(store)
