"""A small matrix, and what two stores have in common."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
from patience import wait_until

from rlp_bench.plan.graph import Node, build_plan
from rlp_bench.recipes.load import load_recipe

HERE = Path(__file__).parent
VICTIM, STUCK = "RLP_BENCH_TEST_VICTIM", "stuck"
"""What stuck/sitecustomize.py reads, and the file that it leaves in the stage's scratch folder."""
SETS = [
    "evaluation.suites=['vicuna']",
    "evaluation.dev_pairs=8",
    "data.sft=256",
    "data.preferences=64",
    "stages.sft.checkpoint_every=1",
    "stages.ppo.checkpoint_every=1",
]


def matrix(*more: str, methods: str) -> list[str]:
    """The command of a small matrix."""
    return [
        "matrix",
        "--recipe",
        "nano",
        "--methods",
        methods,
        "--seeds",
        "0,1",
        "--untuned",
        *_sets(),
        *more,
    ]


def one(*more: str, method: str = "ppo") -> list[str]:
    """The command of one of its runs."""
    return ["run", "--recipe", "nano", "--method", method, *_sets(), *more]


def _sets() -> list[str]:
    return [part for override in SETS for part in ("--set", override)]


def stuck_in(fingerprint: str) -> dict[str, str]:
    """Variables under which a stage stops after its first checkpoint, until `killed_in` ends it; then it goes on."""
    return {"PYTHONPATH": str(HERE / "stuck"), VICTIM: fingerprint[:16]}


def stage(method: str, seed: int, label: str, *more: str) -> Node:
    """A stage of its plans."""
    plan = build_plan(load_recipe("nano", [*SETS, *more]), method, seed)
    return next(node for node in plan.nodes if node.label == label)


def killed_in(
    store: Path, fingerprint: str, driver: subprocess.Popen[str], how: int = signal.SIGKILL, whom: int = 0
) -> int:
    """Waits until a stage is stuck; kills the process that makes it (or another) and says which."""
    scratch = store / "scratch" / fingerprint[:16]
    wait_until(lambda: (scratch / STUCK).exists() or driver.poll() is not None)
    assert driver.poll() is None, driver.communicate()[1]
    (mark,) = store.glob(f"cluster/*/{fingerprint[:16]}.began")
    pid = whom or int(mark.read_text().split()[1])
    os.kill(pid, how)
    return pid


def ray_processes(victim: str) -> set[psutil.Process]:
    """Those of the cluster that was started with `stuck_in(victim)`; another test may have one of its own."""
    return {p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get(VICTIM) == victim}


def contents(folder: Path) -> tuple[dict[str, str], dict[str, bytes], dict[str, bytes]]:
    """Content hash of every artifact; every report without the store's place; every run's points."""
    sealed = {
        p.parent.name: json.loads(p.read_text())["content"] for p in folder.glob("artifacts/*/manifest.json")
    }
    reports = {}
    for path in folder.glob("runs/*/*/report.json"):
        report = json.loads(path.read_text())
        report.pop("seal"), report.pop("store")  # the place of the store, and the seal over it
        reports[path.parent.name] = json.dumps(report).encode()
    return sealed, reports, {p.parent.name: p.read_bytes() for p in folder.glob("runs/*/*/points.json")}


def attempts(folder: Path) -> dict[str, int]:
    """Stage's artifact -> how often it was begun."""
    found = {p.parent.name: json.loads(p.read_text()) for p in folder.glob("artifacts/*/meter.json")}
    return {name: meter["attempts"] for name, meter in found.items() if "attempts" in meter}
