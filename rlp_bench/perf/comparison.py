"""Compares two documents of the same workloads: timings by a factor and a rank test, counters exactly.

"slower" requires both that the fastest round took more than `factor` times the baseline's fastest and that the rounds
rank above the baseline's (one-sided Mann-Whitney, p < .05); either alone gives false alarms on a busy machine. Timings
of different machines, of cold and warm rounds, or of different versions of a workload are incomparable; counters do
not depend on the machine and must be equal. Seconds are wall-clock seconds without the time in which the process was
runnable but waited for a core, where the kernel reports it, so that other processes do not count.
"""

from collections.abc import Mapping, Sequence
from typing import Any

LEVEL = 0.05
EXITS = {"pass": 0, "slower": 1, "counters changed": 1, "incomparable": 3}
"""Verdict of a workload -> exit status."""
Document = Mapping[str, Any]


def rows_of(document: Document) -> list[dict[str, Any]]:
    """One row per timed workload: the fastest round, its rate, all rounds, and counters."""
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
    """The rows of `now`, each with its comparison to the baseline and a verdict of `EXITS`."""
    before = {row["workload"]: row for row in rows_of(baseline)}
    same_machine = now["rlp_bench"]["machine"]["id"] == baseline["rlp_bench"]["machine"]["id"]
    same_way = now["rlp_bench"]["cold"] == baseline["rlp_bench"]["cold"]
    reason = "" if same_machine else "another machine"
    reason = reason or ("" if same_way else "cold against warm rounds")
    reason = reason or ("timings were not requested" if counters_only else "")
    return [_against(row, before.get(row["workload"]), factor, reason) for row in rows_of(now)]


def _against(
    row: dict[str, Any], other: Mapping[str, Any] | None, factor: float, reason: str
) -> dict[str, Any]:
    if other is None or other["version"] != row["version"]:
        why = "not in the baseline" if other is None else f"the baseline has its version {other['version']}"
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
    """{timing: "slower", "faster" or "same"; ratio of the fastest rounds; one-sided p of "not slower"}."""
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
    """1 if a workload is slower or its counters changed, else 3 if one is incomparable, else 0."""
    found = {EXITS[row["verdict"]] for row in rows}
    return 1 if 1 in found else 3 if 3 in found else 0
