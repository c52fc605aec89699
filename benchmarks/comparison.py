"""Two ways to do the same work, timed in turns, so that a busy machine slows both alike."""

import statistics
import time
from collections.abc import Callable
from typing import Any

Timing = tuple[float, float, float]
"""(units of work done, wall seconds, CPU seconds)."""


def clocked(work: Callable[[], float]) -> Callable[[], Timing]:
    """Times calls of `work`, which returns how many units it did."""

    def run() -> Timing:
        wall, cpu = time.perf_counter(), time.process_time()
        units = work()
        return units, time.perf_counter() - wall, time.process_time() - cpu

    return run


class Stamps:
    """Clock readings after every step of a training loop; the first steps are warm-up and do not count."""

    WARM_UP = 3

    def __init__(self) -> None:
        self.read: list[tuple[float, float]] = []

    def __call__(self, *_: Any) -> None:
        """Reads both clocks; fits where a loop wants `progress(done, total, note)`."""
        self.read.append((time.perf_counter(), time.process_time()))

    def timing(self, units_a_step: float) -> Timing:
        """What the steps after the warm-up did and took."""
        (wall, cpu), (last_wall, last_cpu) = self.read[self.WARM_UP - 1], self.read[-1]
        return units_a_step * (len(self.read) - self.WARM_UP), last_wall - wall, last_cpu - cpu


def compare(
    benchmark: Any, lines: list[str], name: str, unit: str, ours: Callable[[], Timing],
    peer: Callable[[], Timing], rounds: int = 7, warm_up: bool = True,
) -> None:  # fmt: skip
    """Runs peer and ours in turns; prints and stores median rates and their ratio, by wall and by CPU clock."""
    timings: dict[str, list[Timing]] = {"ours": [], "peer": []}
    if warm_up:
        peer()
        ours()
    benchmark.pedantic(
        lambda: timings["ours"].append(ours()),
        setup=lambda: timings["peer"].append(peer()),
        rounds=rounds,
    )
    rate: dict[str, float] = {}
    for who, taken in timings.items():
        rate[f"{who}_per_wall_second"] = statistics.median(units / wall for units, wall, _ in taken)
        rate[f"{who}_per_cpu_second"] = statistics.median(units / cpu for units, _, cpu in taken)
    wall = rate["ours_per_wall_second"] / rate["peer_per_wall_second"]
    cpu = rate["ours_per_cpu_second"] / rate["peer_per_cpu_second"]
    benchmark.extra_info.update(rate, unit=unit, ratio_wall=wall, ratio_cpu=cpu)
    lines.append(
        f"{name:48s} {unit:7s} a CPU second: ours {rate['ours_per_cpu_second']:9.1f}, peer "
        f"{rate['peer_per_cpu_second']:9.1f}, ratio {cpu:.2f} (wall {wall:.2f})"
    )
