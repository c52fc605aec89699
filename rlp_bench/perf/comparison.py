"""Two documents of the same workloads: timings by a factor and a rank test, counters exactly.

Slower means both: the fastest round took more than `factor` times the baseline's fastest, and the rounds are later in
rank than the baseline's (one-sided Mann-Whitney, p < .05). Either alone cries wolf on a busy machine. Timings of
another machine, of cold against warm rounds, or of another version of a workload are incomparable; counters
do not depend on the machine and must be equal. Seconds are wall seconds less those in which the process was ready to
run and other processes had the cores, where the kernel tells: a neighbour does not make the code slower.
"""

from collections.abc import Mapping, Sequence
from typing import Any

LEVEL = 0.05
EXITS = {"pass": 0, "slower": 1, "counters changed": 1, "incomparable": 3}
"""Verdict of a workload -> exit status."""
Document = Mapping[str, Any]


def rows_of(document: Document) -> list[dict[str, Any]]:
    """A row for each workload that was timed: the fastest round, its rate, all rounds, counters."""
    rows = []
    for one in document["benchmarks"]:
        info, wall = one["extra_info"], [float(value) for value in one["stats"]["data"]]
        seconds = [
            max(took - waited, 1e-9) for took, waited in zip(wall, info["waited_seconds"], strict=True)
        ]
        counters = info["counters"]
        requests = counters.get("requests", 0) + counters.get("cache_hits", 0)
        rows.append(
            {
                "workload": info["workload"],
                "version": info["version"],
                "unit": info["unit"],
                "per_second": counters[info["unit"]] / min(seconds),
                "min_seconds": min(seconds),
                "median_seconds": sorted(seconds)[len(seconds) // 2],
                "min_cpu_seconds": min(info["cpu_seconds"]),
                "seconds": seconds,
                "wall_seconds": wall,
                "counters": counters,
                "cache_hit_rate": counters["cache_hits"] / requests if requests else None,
                "retries": counters.get("retries"),
            }
        )
    return rows


def compare(
    now: Document, baseline: Document, factor: float, counters_only: bool = False
) -> list[dict[str, Any]]:
    """The rows of `now`, each with what the baseline says; see the verdicts in `EXITS`."""
    before = {row["workload"]: row for row in rows_of(baseline)}
    same_machine = now["rlp_bench"]["machine"]["id"] == baseline["rlp_bench"]["machine"]["id"]
    same_way = now["rlp_bench"]["cold"] == baseline["rlp_bench"]["cold"]
    reason = "" if same_machine else "another machine"
    reason = reason or ("" if same_way else "cold against warm rounds")
    reason = reason or ("timings were not asked for" if counters_only else "")
    return [_against(row, before.get(row["workload"]), factor, reason) for row in rows_of(now)]


def _against(
    row: dict[str, Any], other: Mapping[str, Any] | None, factor: float, reason: str
) -> dict[str, Any]:
    if other is None or other["version"] != row["version"]:
        why = "not in the baseline" if other is None else f"the baseline has version {other['version']} of it"
        return {**row, "timing": "incomparable", "why": why, "changed": None, "verdict": "incomparable"}
    names = sorted({*row["counters"], *other["counters"]})
    changed = [
        {"counter": name, "baseline": other["counters"].get(name), "now": row["counters"].get(name)}
        for name in names
        if row["counters"].get(name) != other["counters"].get(name)
    ]
    timing = {"timing": "incomparable", "why": reason}
    if not reason:
        timing = timed_against(row["seconds"], other["seconds"], factor)
    verdict = "counters changed" if changed else "slower" if timing["timing"] == "slower" else "pass"
    return {
        **row,
        **timing,
        "baseline_min_seconds": other["min_seconds"],
        "changed": changed,
        "verdict": verdict,
    }


def timed_against(now: Sequence[float], before: Sequence[float], factor: float) -> dict[str, Any]:
    """timing: "slower", "faster" or "same"; the ratio of the fastest rounds; p of "not slower" (one-sided)."""
    from scipy.stats import mannwhitneyu

    ratio = min(now) / min(before)
    slower = float(mannwhitneyu(now, before, alternative="greater").pvalue)
    faster = float(mannwhitneyu(now, before, alternative="less").pvalue)
    timing = "same"
    if ratio > factor and slower < LEVEL:
        timing = "slower"
    elif ratio < 1 / factor and faster < LEVEL:
        timing = "faster"
    return {"timing": timing, "why": "", "ratio": ratio, "p": slower}


def exit_status(rows: Sequence[Mapping[str, Any]]) -> int:
    """1 where a workload is slower or counts otherwise, else 3 where one could not be compared at all, else 0."""
    found = {EXITS[row["verdict"]] for row in rows}
    return 1 if 1 in found else 3 if 3 in found else 0
