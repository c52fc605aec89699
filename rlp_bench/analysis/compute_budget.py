"""Compute budgets of methods, shown with the results because unequal budgets are a confounder.

The budget of a run covers all its stages from the base model on, including those shared with other runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlp_bench.display import short
from rlp_bench.run.records import read_record
from rlp_bench.store.manifest import read_meter
from rlp_bench.store.store import Store

COUNTERS = ("tokens_trained", "tokens_sampled", "samples", "reward_calls", "entailment_calls")


def budgets(store: Store, folders: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Method -> mean over its runs of every counter, the last reward model's updates, and CPU seconds."""
    found: dict[str, list[dict[str, float]]] = {}
    for folder in folders:
        record = read_record(folder)
        found.setdefault(record["method"], []).append(budget(store, record))
    return {
        method: {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}
        for method, runs in found.items()
    }


def budget(store: Store, record: Any) -> dict[str, float]:
    """Totals over the stages of one run; `reward_updates` is of the last reward model."""
    total = dict.fromkeys((*COUNTERS, "reward_updates", "cpu_seconds"), 0.0)
    for stage in record["stages"]:
        if stage["trainer"] == "checkpoint":
            continue
        artifact = store.get(stage["kind"], stage["fingerprint"])
        figures = read_meter(artifact.path)
        if figures:
            total["cpu_seconds"] += figures["cpu_seconds"]
            for name in COUNTERS:
                total[name] += figures["counters"].get(name, 0)
        if stage["kind"] == "reward":
            total["reward_updates"] = artifact.metrics.get("updates", 0.0)
    return total


def budget_rows(store: Store, folders: Sequence[Path]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of a table for display."""
    names = [*COUNTERS, "reward_updates", "cpu_seconds"]
    rows = [
        [method, *(short(spent[name]) for name in names)] for method, spent in budgets(store, folders).items()
    ]
    return ["method", *(f">{name.replace('_', ' ')}" for name in names)], rows
