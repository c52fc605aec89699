"""A small matrix, and what two stores have in common."""

import json
from pathlib import Path

SETS = [
    "evaluation.suites=['vicuna']",
    "evaluation.dev_pairs=8",
    "evaluation.trajectory=[1]",
    "data.sft=64",
    "data.preferences=64",
    "stages.ppo.rollouts=2",
    "stages.ppo.snapshots=[1,2]",
]


def matrix(*more: str, methods: str) -> list[str]:
    """The command of a small matrix."""
    sets = [part for override in SETS for part in ("--set", override)]
    return ["matrix", "--recipe", "nano", "--methods", methods, "--seeds", "0,1", "--untuned", *sets, *more]


def contents(folder: Path) -> tuple[dict[str, str], dict[str, bytes], dict[str, bytes]]:
    """Content hash of every artifact; every report without the store's place; every run's points."""
    sealed = {
        p.parent.name: json.loads(p.read_text())["content"] for p in folder.glob("artifacts/*/manifest.json")
    }
    here = str(folder.resolve()).encode()
    reports = {p.parent.name: p.read_bytes().replace(here, b"") for p in folder.glob("runs/*/*/report.json")}
    return sealed, reports, {p.parent.name: p.read_bytes() for p in folder.glob("runs/*/*/points.json")}


def attempts(folder: Path) -> dict[str, int]:
    """Stage's artifact -> how often it was begun."""
    found = {p.parent.name: json.loads(p.read_text()) for p in folder.glob("artifacts/*/meter.json")}
    return {name: meter["attempts"] for name, meter in found.items() if "attempts" in meter}
