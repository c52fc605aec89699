"""Ranks that do not pretend: two rows whose simultaneous intervals meet share a rank.

From every score the item's mean over all rows is taken first, so that hard items do not widen anybody's interval. Each
row then has an interval at confidence 1 - .05 / K (Bonferroni over K rows): with 95 % probability all K hold at once,
and where two do not meet the order of their true means is known. Rank: one more than the rows that are surely better.
Conservative, for two intervals may meet where a paired test of just these two rows sees a difference; linear in rows
but for a sort.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlp_bench.statistics import hierarchical_mean_of

ALPHA = 0.05
Scores = Mapping[int, Mapping[str, float]]
"""Seed -> item id -> score."""


@dataclass(frozen=True)
class Rank:
    """Between `best` and `worst` with 95 % probability for all rows at once; `best` is printed."""

    best: int
    worst: int


def simultaneous_ranks(scores: Mapping[str, Scores]) -> dict[str, Rank]:
    """The rank of every row that has scores, on the items that all have; {} for fewer than two rows or items."""
    rows = {name: of_seed for name, of_seed in scores.items() if of_seed}
    items = _shared(list(rows.values()))
    if len(rows) < 2 or len(items) < 2:
        return {}
    x = {name: _matrix(of_seed, items) for name, of_seed in rows.items()}
    centre = sum(values.mean(axis=0) for values in x.values()) / len(x)
    confidence = 1 - ALPHA / len(x)
    spans = {}
    for name, values in x.items():
        e = hierarchical_mean_of(values - centre, confidence=confidence, bounds=(-1.0, 1.0))
        spans[name] = (e.low, e.high)
    return ranks_of(spans)


def ranks_of(spans: Mapping[str, tuple[float, float]]) -> dict[str, Rank]:
    """Ranks from intervals: rows whose whole interval lies above, or below."""
    lows, highs = sorted(low for low, _ in spans.values()), sorted(high for _, high in spans.values())
    k = len(spans)
    return {
        name: Rank(1 + k - bisect_right(lows, high), k - bisect_left(highs, low))
        for name, (low, high) in spans.items()
    }


def _shared(rows: Sequence[Scores]) -> list[str]:
    """Items that every seed of every row has, in the order of the first."""
    seeds = [scores for of_seed in rows for scores in of_seed.values()]
    if not seeds:
        return []
    first = seeds[0].keys()
    if all(scores.keys() == first for scores in seeds[1:]):
        return list(first)
    common = set(first).intersection(*seeds[1:])
    return [item for item in first if item in common]


def _matrix(of_seed: Scores, items: Sequence[str]) -> np.ndarray:
    """S x I."""
    return np.array([[of_seed[seed][item] for item in items] for seed in sorted(of_seed)])
