"""Fixed pieces of work over worker processes of one thread each; pieces never depend on how many workers."""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch


def map_pieces(work: Callable[[Any], Any], pieces: Sequence[Any], processes: int) -> list[Any]:
    """`work` of every piece, in order, over up to `processes` workers.

    Args:
        work: a picklable function of one piece (a `functools.partial` of a module's function). What it has
            loaded and cached before this call, forked workers have too; spawned ones load it again.
    """
    workers = min(processes, len(pieces))
    if workers <= 1:
        return [work(piece) for piece in pieces]
    context = multiprocessing.get_context(start_method())
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        return list(pool.map(work, pieces))


def start_method() -> str:
    """Fork where it is cheap and safe: Linux, and no thread pool that a child would wait for in vain."""
    return "fork" if sys.platform == "linux" and torch.get_num_threads() == 1 else "spawn"


def _one_thread() -> None:
    torch.set_num_threads(1)
