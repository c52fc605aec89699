"""Parallel map over single-threaded worker processes; how work is split does not depend on the number of workers."""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from rlp_bench.api import BenchError


def map_pieces(work: Callable[[Any], Any], pieces: Sequence[Any], processes: int) -> list[Any]:
    """The results of `work` on every piece, in order, computed by up to `processes` workers.

    Args:
        work: a picklable function of one piece (a `functools.partial` of a module-level function). Forked workers
            inherit what it has loaded and cached before this call; spawned ones load it again.
    """
    workers = min(processes, len(pieces))
    if workers <= 1:
        return [work(piece) for piece in pieces]
    context = multiprocessing.get_context(start_method())
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
            return list(pool.map(work, pieces))
    except BrokenProcessPool:
        raise BenchError(
            f"one of {workers} sampling processes was killed, as the system does where memory runs out; give it more "
            "memory or set compute.processes lower, then run the same command to resume"
        ) from None


def start_method() -> str:
    """The start method: "fork" on Linux if torch has no thread pool (a forked child could deadlock), else "spawn"."""
    return "fork" if sys.platform == "linux" and torch.get_num_threads() == 1 else "spawn"


def _one_thread() -> None:
    torch.set_num_threads(1)
