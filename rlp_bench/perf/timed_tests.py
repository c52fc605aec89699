"""The test that pytest-benchmark runs, once per workload. `rlp_bench.perf.timed_process` provides its fixtures."""

import sys
import time
from pathlib import Path
from typing import Any

from rlp_bench.perf.workloads import Asked, Workload

WARM_UP = 1
"""Untimed calls before the rounds: imports, first allocations, model loading."""


def test_workload(benchmark: Any, workload: Workload, settings: dict[str, Any], tmp_path: Path) -> None:
    """Times k rounds after a warm-up; with `cold`, the package's caches are cleared before each round."""
    called: list[tuple[dict[str, float], float, float]] = []
    with workload.prepare(tmp_path, Asked(settings["cache"])) as work:

        def once() -> None:
            began, waited = time.process_time(), waited_seconds()
            counters = dict(work())
            called.append((counters, time.process_time() - began, waited_seconds() - waited))

        benchmark.pedantic(
            once, setup=forget if settings["cold"] else None, rounds=settings["k"], warmup_rounds=WARM_UP
        )
    rounds = called[WARM_UP : WARM_UP + settings["k"]]
    benchmark.extra_info.update(
        workload=workload.name,
        version=workload.version,
        about=workload.about,
        unit=workload.unit,
        counters=rounds[-1][0],
        counters_of_rounds=[counters for counters, _, _ in rounds],
        cpu_seconds=[seconds for _, seconds, _ in rounds],
        waited_seconds=[seconds for _, _, seconds in rounds],
    )


def waited_seconds() -> float:
    """Seconds in which the main thread was runnable but waited for a core; 0 where the kernel does not report it."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def forget() -> None:
    """Clears all in-process caches of the package: loaded models and tokenizers, worlds, plug-in tables."""
    for name, module in list(sys.modules.items()):
        if name.startswith("rlp_bench."):
            for value in list(vars(module).values()):
                if callable(getattr(value, "cache_clear", None)):
                    value.cache_clear()
