"""Means with intervals, over items and over items and seeds.

Scores are fractions in [0, 1]; they become percent only when printed. The unit of analysis is the item: orders,
annotators and seeds of one item are averaged first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlp_bench.statistics.moderated import FEWEST, fitted, outlying_seeds, squeeze

Scores = Mapping[str, float]
"""Item id -> score."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and 95 % interval; `se` is NaN for a single value."""

    mean: float
    se: float
    low: float
    high: float
    n: int
    degrees: float = math.nan
    """Degrees of freedom of the interval's t distribution; NaN for a Wilson interval."""

    @property
    def half_width(self) -> float:
        """Half the interval's width: the number after ±."""
        return (self.high - self.low) / 2


def pairwise_credit(first: float, second: float, first_is_better: bool) -> float:
    """1 if two scores rank a pair correctly, 0 if not, 0.5 if they are equal."""
    return 0.5 if first == second else float((first > second) == first_is_better)


def estimate_mean(
    values: Sequence[float], *, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Mean, standard error (ddof = 1) and interval of independent scores.

    Wilson's interval if every value is 0 or 1 (valid even if all are equal), otherwise Student's t clipped to
    `bounds`.

    Raises:
        ValueError: there is no value.
    """
    x = np.asarray(values, dtype=float)
    if x.size == 0:
        raise ValueError("no value to average")
    mean = float(x.mean())
    if x.size == 1:
        return Estimate(mean, math.nan, bounds[0], bounds[1], 1)
    se = float(x.std(ddof=1) / math.sqrt(x.size))
    if bounds == (0.0, 1.0) and bool(np.isin(x, (0.0, 1.0)).all()):
        low, high = wilson_interval(mean, x.size, confidence)
        return Estimate(mean, se, low, high, x.size)
    low, high = student_interval(mean, se, x.size - 1, confidence, bounds)
    return Estimate(mean, se, low, high, x.size, float(x.size - 1))


def wilson_interval(rate: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial rate (Wilson, 1927, JASA 22)."""
    from scipy.stats import binomtest

    interval = binomtest(round(rate * n), n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def student_interval(
    mean: float, se: float, degrees: float, confidence: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Student's t interval, clipped to `bounds`."""
    from scipy.special import stdtrit

    half = float(stdtrit(degrees, (1 + confidence) / 2)) * se
    return max(bounds[0], mean - half), min(bounds[1], mean + half)


def average_within_items(rows: Sequence[tuple[str, float | None]]) -> dict[str, float]:
    """Item id -> mean score over its orders and annotators; items without any score are left out."""
    found: dict[str, list[float]] = {}
    for item, score in rows:
        if score is not None:
            found.setdefault(item, []).append(score)
    return {item: sum(scores) / len(scores) for item, scores in found.items()}


def hierarchical_mean(
    seeds: Sequence[Scores], *, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Mean over seeds and items, with the standard error for a new seed and new items.

    Var = Var(items) + Var(seeds) - Var(residual), each as the variance of the grand mean: crossed two-way
    clustering (Cameron, Gelbach and Miller, 2011), at least the larger of the first two. Satterthwaite degrees of
    freedom. With one seed, the error is over items only and does not generalize to other seeds. Only items that
    every seed has are used.

    Raises:
        ValueError: the seeds share no item.
    """
    shared = sorted(set.intersection(*(set(scores) for scores in seeds))) if seeds else []
    if not shared:
        raise ValueError("the seeds share no item")
    x = np.array([[scores[item] for item in shared] for scores in seeds])
    return hierarchical_mean_of(x, confidence=confidence, bounds=bounds)


def hierarchical_mean_of(
    x: np.ndarray, *, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """`hierarchical_mean` of an array (seeds, items)."""
    if 1 in x.shape:
        return estimate_mean(x.mean(axis=0), confidence=confidence, bounds=bounds)
    s, i = x.shape
    items, runs = x.mean(axis=0), x.mean(axis=1)
    v_items, v_seeds = float(items.var(ddof=1)) / i, float(runs.var(ddof=1)) / s
    residual = x - items[None, :] - runs[:, None] + x.mean()
    v_residual = float((residual**2).sum()) / ((s - 1) * (i - 1)) / (s * i)
    variance = max(v_items + v_seeds - v_residual, v_items, v_seeds)
    spread = v_items**2 / (i - 1) + v_seeds**2 / (s - 1)
    degrees = min(variance**2 / spread, s * i - 1) if spread > 0 else float(s - 1)
    mean, se = float(x.mean()), math.sqrt(variance)
    low, high = student_interval(mean, se, degrees, confidence, bounds)
    return Estimate(mean, se, low, high, i, degrees)


def moderated_means(
    rows: Mapping[str, Mapping[int, float]],
    item_variances: Mapping[str, float],
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
    common: bool = True,
) -> dict[str, Estimate]:
    """Row -> mean over its seeds, with between-seed variances shrunk over the rows; the error is for a new seed.

    Var = (V + s̃²) / S + the row's item variance, Satterthwaite df of the first two terms. V is the variance of the
    seed effect common to all rows (one draw for all rows, hence not shrunk; S - 1 df), s² that of the remainder. A row
    whose seeds differ from the most common set, or that has an outlying seed, is not shrunk and has S - 1 df. With one
    seed, se is NaN.

    Args:
        common: False if the common seed effect has been subtracted from the rows already.
    """
    found = {}
    known = _seed_variances(rows, common)
    for name, row in rows.items():
        mean, (low, high), se, degrees = sum(row.values()) / len(row), bounds, math.nan, math.nan
        if name in known:
            variance, degrees = known[name]
            se = math.sqrt(variance / len(row) + item_variances[name])
            low, high = student_interval(mean, se, degrees, confidence, bounds)
        found[name] = Estimate(mean, se, low, high, len(row), degrees)
    return found


def _seed_variances(rows: Mapping[str, Mapping[int, float]], common: bool) -> dict[str, tuple[float, float]]:
    """Row with at least two seeds -> (variance of one seed's mean, its degrees of freedom)."""
    many = {name: np.array([row[seed] for seed in sorted(row)]) for name, row in rows.items() if len(row) > 1}
    found = {name: (float(y.var(ddof=1)), y.size - 1.0) for name, y in many.items()}
    out, sets = outlying_seeds(rows), [tuple(sorted(rows[name])) for name in many]
    shared = max(sets, key=lambda seeds: (sets.count(seeds), seeds), default=())
    kept = [name for name in many if tuple(sorted(rows[name])) == shared and name not in out]
    k, d = len(kept), len(shared) - 1.0
    if k < FEWEST:
        return found
    x = np.array([many[name] for name in kept])
    draws = x.mean(axis=0) if common else np.zeros(len(shared))
    left = (x - draws).var(axis=1, ddof=1) / (1 - 1 / k if common else 1.0)
    every = float(draws.var(ddof=1))
    prior = fitted([(float(v), d) for v in left])
    if not prior:
        return found
    shrunk, degrees = squeeze(left, d, *prior), max(d, min(d + prior[1], k * d))
    for name, variance in zip(kept, shrunk.tolist(), strict=True):
        spread = every**2 / d + variance**2 / degrees
        found[name] = every + variance, (every + variance) ** 2 / spread if spread else d
    return found
