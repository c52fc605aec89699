"""Estimates with intervals, paired tests, and what difference could have been seen at all.

Scores are fractions in [0, 1] here; they become percent when they are printed. The unit of analysis is the
item: several orders, annotators or seeds of one item are averaged before anything is counted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Scores = Mapping[str, float]
"""Item id -> score."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and 95 % interval; `se` is NaN where one value cannot tell."""

    mean: float
    se: float
    low: float
    high: float
    n: int
    degrees: float = math.nan
    """Degrees of freedom of the interval's t distribution; NaN for a Wilson interval."""

    @property
    def half_width(self) -> float:
        """Half of the interval's width: the number after the plus-minus sign."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline on the same items."""

    mean: float
    se: float
    low: float
    high: float
    p: float
    """Two-sided, of "no difference"."""
    n: int
    detectable: float
    """The smallest true difference that this test would find in 80 % of repetitions."""


def pairwise_credit(first: float, second: float, first_is_better: bool) -> float:
    """1 where two numbers rank a pair rightly, 0 where wrongly, half where they are equal."""
    return 0.5 if first == second else float((first > second) == first_is_better)


def estimate_mean(
    values: Sequence[float], *, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Mean, standard error (ddof = 1) and interval of scores that are independent of each other.

    Wilson's interval where every value is 0 or 1 (right even where all are equal), Student's t clipped to
    `bounds` otherwise. Raises ValueError where there is no value.
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
    low, high = _student(mean, se, x.size - 1, confidence, bounds)
    return Estimate(mean, se, low, high, x.size, float(x.size - 1))


def wilson_interval(rate: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial rate (Wilson, 1927, JASA 22)."""
    from scipy.stats import binomtest

    interval = binomtest(round(rate * n), n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _student(
    mean: float, se: float, degrees: float, confidence: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, degrees)) * se
    return max(bounds[0], mean - half), min(bounds[1], mean + half)


def average_within_items(rows: Sequence[tuple[str, float | None]]) -> dict[str, float]:
    """One score an item: the mean over its orders and annotators; an item with no score at all is left
    out.
    """
    found: dict[str, list[float]] = {}
    for item, score in rows:
        if score is not None:
            found.setdefault(item, []).append(score)
    return {item: sum(scores) / len(scores) for item, scores in found.items()}


def hierarchical_mean(
    seeds: Sequence[Scores], *, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Mean over seeds and items, with an error for a new seed on new items.

    Var = Var(items) + Var(seeds) - Var(residual), each as the variance of the grand mean: crossed two-way
    clustering (Cameron, Gelbach and Miller, 2011), never below the larger of the first two. Degrees of
    freedom by Satterthwaite. One seed: the error over items alone, which says nothing about other seeds.
    Only items that every seed has are counted.
    """
    shared = sorted(set.intersection(*(set(scores) for scores in seeds))) if seeds else []
    if not shared:
        raise ValueError("the seeds share no item")
    x = np.array([[scores[item] for item in shared] for scores in seeds])
    return hierarchical_mean_of(x, confidence=confidence, bounds=bounds)


def hierarchical_mean_of(
    x: np.ndarray, *, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """`hierarchical_mean` of an array, seeds x items."""
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
    low, high = _student(mean, se, degrees, confidence, bounds)
    return Estimate(mean, se, low, high, i, degrees)


def paired_difference(
    candidate: Scores, baseline: Scores, *, resamples: int = 9999, seed: int = 0, interval: str = "t"
) -> Difference:
    """Candidate minus baseline over the items that both have.

    p by the sign-flip permutation test (exact where 2^n <= `resamples`); the interval by Student's t or, with
    `interval="bootstrap"`, by the paired BCa bootstrap.
    """
    from scipy.stats import bootstrap, permutation_test

    shared = sorted(set(candidate) & set(baseline))
    if len(shared) < 2:
        raise ValueError("a paired test needs two shared items or more")
    d = np.array([candidate[item] - baseline[item] for item in shared])
    mean, se = float(d.mean()), float(d.std(ddof=1) / math.sqrt(d.size))
    low, high = _student(mean, se, d.size - 1, 0.95, (-1.0, 1.0))
    if not d.any():
        return Difference(0.0, 0.0, 0.0, 0.0, 1.0, d.size, 0.0)
    test = permutation_test(
        (d,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        batch=1000,
        vectorized=True,
        rng=seed,
    )
    if interval == "bootstrap" and se > 0:
        ends = bootstrap((d,), np.mean, n_resamples=resamples, method="BCa", batch=1000, rng=seed)
        low, high = float(ends.confidence_interval.low), float(ends.confidence_interval.high)
    detectable = smallest_detectable_difference(float(d.std(ddof=1)), d.size)
    return Difference(mean, se, low, high, float(test.pvalue), d.size, detectable)


def paired_difference_over_seeds(
    candidate: Mapping[int, Scores], baseline: Mapping[int, Scores]
) -> Difference:
    """The same where several seeds were run: item by item within the seeds that both have, error as in
    `hierarchical_mean`, p by Student's t with its degrees of freedom; one shared seed:
    `paired_difference`.
    """
    from scipy.stats import t

    seeds = sorted(set(candidate) & set(baseline))
    if not seeds:
        raise ValueError("the two share no seed")
    if len(seeds) == 1:
        return paired_difference(candidate[seeds[0]], baseline[seeds[0]])
    gaps = [
        {
            item: score - baseline[seed][item]
            for item, score in candidate[seed].items()
            if item in baseline[seed]
        }
        for seed in seeds
    ]
    e = hierarchical_mean(gaps, bounds=(-1.0, 1.0))
    certain = 1.0 if e.mean == 0 else 0.0
    p = certain if e.se == 0 else float(2 * t.sf(abs(e.mean) / e.se, e.degrees))
    return Difference(
        e.mean, e.se, e.low, e.high, p, e.n, smallest_detectable_difference(e.se * math.sqrt(e.n), e.n)
    )


def mcnemar_mid_p(only_candidate: int, only_baseline: int) -> float:
    """Two-sided mid-p McNemar test from the two discordant counts (Fagerland et al., 2013, eq. 5).

    p = 2 P(X <= min) - P(X = min), X ~ Binomial(b + c, 1/2); 1 where nothing is discordant.
    """
    from scipy.stats import binom

    n, low = only_candidate + only_baseline, min(only_candidate, only_baseline)
    if n == 0:
        return 1.0
    return float(min(1.0, 2 * binom.cdf(low, n, 0.5) - binom.pmf(low, n, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(list(p_values), method="holm")[1]]


def smallest_detectable_difference(
    sd: float, n: int, *, power: float = 0.8, alpha: float = 0.05, two_sided: bool = True
) -> float:
    """(z_{1-alpha/2} + z_power) sd / sqrt(n): the true mean that a test of n items finds with that power."""
    from scipy.stats import norm

    tail = alpha / 2 if two_sided else alpha
    return float((norm.ppf(1 - tail) + norm.ppf(power)) * sd / math.sqrt(n))
