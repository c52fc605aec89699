"""Two ways to do the same work, timed in turns, so that a busy machine slows both alike."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def clocked(work: Callable[[], float]) -> tuple[float, float, float]:
    """(units of work, wall seconds, CPU seconds) of one call; `work` returns how many units it did."""
    wall, cpu = time.perf_counter(), time.process_time()
    units = work()
    return units, time.perf_counter() - wall, time.process_time() - cpu


def compare(
    benchmark: Any, lines: list[str], name: str, unit: str, ours: Callable[[], float],
    peer: Callable[[], float], rounds: int = 7,
) -> float:  # fmt: skip
    """Runs peer and ours in turns, once unmeasured; prints and stores rates and the ratio of median CPU rates."""
    timings: dict[str, list[tuple[float, float, float]]] = {"ours": [], "peer": []}
    peer()
    ours()
    benchmark.pedantic(
        lambda: timings["ours"].append(clocked(ours)),
        setup=lambda: timings["peer"].append(clocked(peer)),
        rounds=rounds,
    )
    return report(benchmark, lines, name, unit, timings)


def report(
    benchmark: Any,
    lines: list[str],
    name: str,
    unit: str,
    timings: dict[str, list[tuple[float, float, float]]],
) -> float:
    """Stores and prints medians of units a second, by wall and CPU clock; returns the ratio by CPU clock."""
    rate: dict[str, float] = {}
    for who, taken in timings.items():
        rate[f"{who}_per_wall_second"] = statistics.median(units / wall for units, wall, _ in taken)
        rate[f"{who}_per_cpu_second"] = statistics.median(units / cpu for units, _, cpu in taken)
    ratio = {
        clock: rate[f"ours_per_{clock}_second"] / rate[f"peer_per_{clock}_second"]
        for clock in ("wall", "cpu")
    }
    benchmark.extra_info.update(rate, unit=unit, ratio_wall=ratio["wall"], ratio_cpu=ratio["cpu"])
    lines.append(
        f"{name:44s} {unit}/CPU-s: ours {rate['ours_per_cpu_second']:9.1f}  peer "
        f"{rate['peer_per_cpu_second']:9.1f}  ratio {ratio['cpu']:.2f} (wall {ratio['wall']:.2f})"
    )
    return ratio["cpu"]
