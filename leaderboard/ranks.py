"""Ranks by simultaneous intervals: two rows whose intervals overlap share a rank.

The item's mean over all rows is subtracted from every score, so that the variance between items does not widen the
intervals. Each row then has an interval at confidence 1 - .05 / K (Bonferroni over K rows). All K intervals hold
simultaneously with 95 % probability, and non-overlapping ones determine the order of the true means. The rank is one
plus the number of rows that are significantly better. This is conservative: two intervals may overlap although a paired
test of the two rows finds a difference. The cost is linear in the number of rows, except for sorting. Standard errors
over seeds are moderated (docs/statistics.md).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlp_bench.statistics import Estimate, hierarchical_mean_of, item_variance, moderated_means

ALPHA = 0.05
Scores = Mapping[int, Mapping[str, float]]
"""Seed -> item id -> score."""


@dataclass(frozen=True)
class Rank:
    """The rank is between `best` and `worst`, with 95 % probability for all rows simultaneously; `best` is printed."""

    best: int
    worst: int


def simultaneous_ranks(scores: Mapping[str, Scores]) -> dict[str, Rank]:
    """The rank of every row with scores, on the items that all rows share; {} for fewer than two rows or items."""
    rows = {name: of_seed for name, of_seed in scores.items() if of_seed}
    items = _shared(list(rows.values()))
    if len(rows) < 2 or len(items) < 2:
        return {}
    x = {name: _matrix(of_seed, items) for name, of_seed in rows.items()}
    centre = sum(values.mean(axis=0) for values in x.values()) / len(x)
    spans = {
        name: (e.low, e.high)
        for name, e in _intervals({m: values - centre for m, values in x.items()}, rows).items()
    }
    return ranks_of(spans)


def _intervals(x: Mapping[str, np.ndarray], rows: Mapping[str, Scores]) -> dict[str, Estimate]:
    """Row -> interval at confidence 1 - ALPHA / K, from S x I values; the variance between seeds is shrunk over rows.

    If all rows have the same seeds, the common effect of each seed (the median over rows) is removed, because it does
    not affect the order of the rows.
    """
    confidence, bounds = 1 - ALPHA / len(x), (-1.0, 1.0)
    means = {name: dict(zip(sorted(rows[name]), v.mean(axis=1), strict=True)) for name, v in x.items()}
    same = len({tuple(of_seed) for of_seed in means.values()}) == 1
    if same:
        common = np.median([list(of_seed.values()) for of_seed in means.values()], axis=0)
        common -= common.mean()
        means = {
            name: {s: v - c for (s, v), c in zip(of_seed.items(), common, strict=True)}
            for name, of_seed in means.items()
        }
    shared = {name: item_variance(values) for name, values in x.items()}
    found = moderated_means(means, shared, confidence=confidence, bounds=bounds, common=not same)
    alone = {
        name: hierarchical_mean_of(values, confidence=confidence, bounds=bounds)
        for name, values in x.items()
        if len(values) == 1
    }
    return {**found, **alone}


def ranks_of(spans: Mapping[str, tuple[float, float]]) -> dict[str, Rank]:
    """Ranks from intervals, by the number of rows whose whole interval is above, or below."""
    lows, highs = sorted(low for low, _ in spans.values()), sorted(high for _, high in spans.values())
    k = len(spans)
    return {
        name: Rank(1 + k - bisect_right(lows, high), k - bisect_left(highs, low))
        for name, (low, high) in spans.items()
    }


def _shared(rows: Sequence[Scores]) -> list[str]:
    """Items that all seeds of all rows share, in the order of the first one."""
    seeds = [scores for of_seed in rows for scores in of_seed.values()]
    if not seeds:
        return []
    first = seeds[0].keys()
    if all(scores.keys() == first for scores in seeds[1:]):
        return list(first)
    common = set(first).intersection(*seeds[1:])
    return [item for item in first if item in common]


def _matrix(of_seed: Scores, items: Sequence[str]) -> np.ndarray:
    """The scores as an array, S x I."""
    return np.array([[of_seed[seed][item] for item in items] for seed in sorted(of_seed)])
