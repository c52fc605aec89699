"""Measures a stage: wall-clock and CPU seconds (child processes included), peak memory, counters and rates."""

import os
import sys
import threading
import time
from typing import Any

import psutil

SAMPLE_SECONDS = 0.5
"""Sampling interval of memory; shorter peaks are missed."""


class StageMeter:
    """Context manager that measures one stage; also the stage's `api.Meter`."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = {}
        self._me = psutil.Process()
        self._peak = 0
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self.wall_seconds = 0.0
        self.cpu_seconds = 0.0

    def count(self, **amounts: float) -> None:
        """Adds to named counters (tokens_trained, tokens_sampled, samples, reward_calls, flops, ...)."""
        for name, amount in amounts.items():
            self.counters[name] = self.counters.get(name, 0) + amount

    def __enter__(self) -> "StageMeter":
        self._wall, self._cpu = time.perf_counter(), self._cpu_now()
        cuda = _cuda()
        if cuda is not None:
            cuda.reset_peak_memory_stats()
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._watch.join()
        self._peak = max(self._peak, self._rss_now())
        self.wall_seconds = time.perf_counter() - self._wall
        self.cpu_seconds = max(0.0, self._cpu_now() - self._cpu)

    def figures(self) -> dict[str, Any]:
        """The content of meter.json: seconds, bytes, counters, and counters per wall-clock second."""
        wall = max(self.wall_seconds, 1e-9)
        cuda = _cuda()
        on_device = {} if cuda is None else {"peak_device_bytes": cuda.max_memory_allocated()}
        return {
            "wall_seconds": round(self.wall_seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_rss_bytes": self._peak,
            **on_device,
            "counters": dict(sorted(self.counters.items())),
            "per_second": {name: round(n / wall, 3) for name, n in sorted(self.counters.items())},
        }

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, self._rss_now())

    def _rss_now(self) -> int:
        """Resident bytes of this process and its children; pages shared by fork count more than once."""
        return sum(_ask(process, lambda p: p.memory_info().rss) for process in self._family())

    def _cpu_now(self) -> float:
        """User and system seconds of this process and its children, ended ones included."""
        mine = os.times()
        ended = mine.children_user + mine.children_system
        living = sum(_ask(child, _busy_seconds) for child in self._family()[1:])
        return mine.user + mine.system + ended + living

    def _family(self) -> list[psutil.Process]:
        return [self._me, *self._me.children(recursive=True)]


def _cuda() -> Any:
    """torch.cuda if this process has initialized it, else None; imports and initializes nothing."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None


def _busy_seconds(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return spent.user + spent.system


def _ask(process: psutil.Process, question: Any) -> Any:
    """The result of `question(process)`, or 0 if the process has just ended."""
    try:
        return question(process)
    except psutil.Error:
        return 0
