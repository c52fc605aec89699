"""Estimates a stage's CPU seconds from the most similar earlier measurement, scaled by the amount of work."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench.plan.graph import Node, Plan
from rlp_bench.store.manifest import read_manifest, read_meter
from rlp_bench.store.store import Store

SHIPPED = Path(__file__).parent / "costs.json"
"""CPU seconds of every stage of the micro recipe on one core, with the settings of the measurement."""
WORK = ("steps", "rollouts", "rollout_batch", "epochs", "n")
"""Settings that a stage's cost is proportional to."""


@dataclass(frozen=True)
class Estimate:
    """Estimated CPU seconds of a stage, and their source."""

    seconds: float | None
    source: str
    """"store": measured in this store; "shipped": measured on micro; "unknown"."""


@dataclass(frozen=True)
class Measured:
    """One measured stage."""

    trainer: str
    settings: Mapping[str, Any]
    rows: int
    cpu_seconds: float
    source: str


def measurements(store: Store) -> list[Measured]:
    """The measurements of the store's artifacts, then those of the shipped table."""
    return [*_of_store(store), *_shipped()]


def _of_store(store: Store) -> Iterator[Measured]:
    for folder in store.folders():
        figures = read_meter(folder)
        if figures:
            provenance = read_manifest(folder)["provenance"]
            rows = sum(figures.get("input_rows", {}).values())
            seconds = figures["cpu_seconds"]
            yield Measured(
                provenance.get("trainer", ""), provenance.get("settings", {}), rows, seconds, "store"
            )


def _shipped() -> Iterator[Measured]:
    if SHIPPED.exists():
        for row in json.loads(SHIPPED.read_text())["stages"]:
            yield Measured(row["trainer"], row["settings"], row["rows"], row["cpu_seconds"], "shipped")


def estimate(node: Node, plan: Plan, known: list[Measured]) -> Estimate:
    """The most similar measurement of this trainer, preferably from the store, scaled by `WORK` and rows."""
    if node.trainer in ("checkpoint", "data"):
        return Estimate(0.0, "store")
    same = [one for one in known if one.trainer == node.trainer]
    if not same:
        return Estimate(None, "unknown")
    nearest = min(same, key=lambda one: (one.source != "store", _difference(one.settings, node.settings)))
    factor = 1.0
    for name in WORK:
        mine, theirs = _number(node.settings.get(name)), _number(nearest.settings.get(name))
        if mine and theirs:
            factor *= mine / theirs
    rows = _rows(node, plan)
    if not {"steps", "rollouts"} & {*node.settings} and rows and nearest.rows:
        factor *= rows / nearest.rows
    return Estimate(nearest.cpu_seconds * factor, nearest.source)


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return sum(one.get(name) != other.get(name) for name in {*one, *other})


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else 0.0


def _rows(node: Node, plan: Plan) -> int:
    """Rows of the node's data inputs, from the recipe; a stage's output is assumed to have as many rows as its data."""
    nodes = {other.fingerprint: other for other in plan.nodes}
    total = 0
    for handle in node.sources():
        one = nodes[handle.fingerprint]
        if one.kind in ("policy", "reward"):
            continue
        total += one.identity["n"] if one.trainer == "data" else _rows(one, plan)
    return total


def shipped_table(store: Store) -> str:
    """The text of plan/costs.json, from a store with one run of the micro recipe."""
    rows = [
        {
            "trainer": one.trainer,
            "settings": dict(one.settings),
            "rows": one.rows,
            "cpu_seconds": round(one.cpu_seconds, 1),
        }
        for one in _of_store(store)
    ]
    return (
        json.dumps({"stages": sorted(rows, key=lambda row: (row["trainer"], row["rows"]))}, indent=1) + "\n"
    )


if __name__ == "__main__":  # python -m rlp_bench.plan.measured_cost STORE > rlp_bench/plan/costs.json
    sys.stdout.write(shipped_table(Store(Path(sys.argv[1]))))
