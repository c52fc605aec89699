"""Paired differences between methods on the same items: of two runs, or of many methods over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rlp_bench.statistics.estimates import Scores, student_interval
from rlp_bench.statistics.moderated import Moderated, moderate, outlying_seeds
from rlp_bench.statistics.multiplicity import ALPHA
from rlp_bench.statistics.power import detectable_shift, seeds_needed

Table = Mapping[str, Mapping[int, Scores]]
"""Method -> seed -> item id -> score."""


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline on the same items."""

    mean: float
    se: float
    low: float
    high: float
    p: float
    """Two-sided p of the null hypothesis "no difference"."""
    n: int
    degrees: float
    """Degrees of freedom of the t distribution for p and the interval."""
    seeds: int = 1
    seed_variance: float = math.nan
    """Variance of one seed's mean difference, shrunk; NaN with one seed."""
    item_variance: float = math.nan
    """Part of the squared error that more seeds do not reduce, because the items stay the same; NaN with one seed."""
    prior_degrees: float = 0.0
    """Part of `degrees` that comes from the other methods of the table."""

    def detectable(self, level: float = ALPHA) -> float:
        """The smallest true difference that this test detects at `level` with 80 % power."""
        return self.se * detectable_shift(self.degrees, level) if self.se else 0.0

    def p_of(self, effect: float) -> float:
        """Two-sided p of the null hypothesis "the true difference is `effect`"."""
        return two_sided(self.mean - effect, self.se, self.degrees)

    def seeds_needed(self, effect: float, level: float = ALPHA) -> float:
        """Seeds needed to detect a true difference of `effect` at `level` with 80 % power; inf above 1000, NaN if the
        seed variance is unknown.
        """
        if math.isnan(self.seed_variance):
            return math.nan
        return seeds_needed(effect, self.seed_variance, self.item_variance, self.prior_degrees, level)


def two_sided(effect: float, se: float, degrees: float) -> float:
    """Two-sided p of Student's t; if se is 0, 1 for no effect and 0 for any."""
    from scipy.special import stdtr

    if se == 0:
        return 1.0 if effect == 0 else 0.0
    return float(2 * stdtr(degrees, -abs(effect) / se))


def paired_difference(
    candidate: Scores, baseline: Scores, *, resamples: int = 9999, seed: int = 0, interval: str = "t"
) -> Difference:
    """Candidate minus baseline over the items that both have.

    p: sign-flip permutation test (exact if 2^n <= `resamples`). Interval: Student's t or, with
    `interval="bootstrap"`, the paired BCa bootstrap.

    Raises:
        ValueError: fewer than two shared items.
    """
    from scipy.stats import bootstrap, permutation_test

    shared = sorted(set(candidate) & set(baseline))
    if len(shared) < 2:
        raise ValueError("a paired test needs two shared items or more")
    d = np.array([candidate[item] - baseline[item] for item in shared])
    mean, se = float(d.mean()), float(d.std(ddof=1) / math.sqrt(d.size))
    low, high = student_interval(mean, se, d.size - 1, 0.95, (-1.0, 1.0))
    if not d.any():
        return Difference(0.0, 0.0, 0.0, 0.0, 1.0, d.size, d.size - 1)
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
    return Difference(mean, se, low, high, float(test.pvalue), d.size, d.size - 1)


def item_variance(x: np.ndarray) -> float:
    """Contribution of the items, shared by all seeds, to the squared error of the grand mean of `x` (seeds S, items I).

    Var(item means) / I - Var(residual) / (S I), at least 0: the second term is already in the variance of the seeds'
    means. With one seed: Var(items) / I.
    """
    s, i = x.shape
    if i == 1:
        return 0.0
    items = x.mean(axis=0)
    own = float(items.var(ddof=1)) / i
    if s == 1:
        return own
    residual = x - items[None, :] - x.mean(axis=1)[:, None] + x.mean()
    return max(0.0, own - float((residual**2).sum()) / ((s - 1) * (i - 1)) / (s * i))


def paired_differences(
    table: Table, pairs: Sequence[tuple[str, str]], *, same_items: bool = True
) -> list[Difference]:
    """The difference of each (candidate, baseline) pair of a table, by item and by shared seed.

    Var = s̃² / S + item_variance. s² is the variance of the S seeds' mean differences, shrunk to s̃² towards the
    variances of all comparisons of the table that share a method with this one (`moderated`; at least towards those
    with the same baseline); df = d0 + S - 1. Methods with an outlying seed are excluded from the prior, and their own
    comparisons are not shrunk. With one shared seed: `paired_difference`, which does not generalize to other seeds.

    Args:
        table: all methods of the table, including those in no pair.
        same_items: False if seeds and methods have different items: no item variance, at least two shared seeds.

    Raises:
        ValueError: the methods of a pair share no seed, or no item.
    """
    gaps = _Gaps(table, same_items)
    return [_difference(gaps, candidate, baseline) for candidate, baseline in pairs]


def paired_difference_over_seeds(
    candidate: Mapping[int, Scores], baseline: Mapping[int, Scores]
) -> Difference:
    """`paired_differences` of two methods, without shrinkage: Student's t over seeds."""
    return paired_differences({"candidate": candidate, "baseline": baseline}, [("candidate", "baseline")])[0]


class _Gaps:
    """Differences between any two methods of a table, and the methods that the prior is fitted to."""

    def __init__(self, table: Table, same_items: bool) -> None:
        self.same_items = same_items
        self.table = {method: of_seed for method, of_seed in table.items() if of_seed}
        names = {item for of_seed in self.table.values() for scores in of_seed.values() for item in scores}
        self.items = {name: place for place, name in enumerate(sorted(names))} if same_items else {}
        self.means = {
            m: {seed: sum(scores.values()) / len(scores) for seed, scores in of_seed.items()}
            for m, of_seed in self.table.items()
        }
        self.outlying = outlying_seeds(self.means)
        self.arrays: dict[tuple[str, int], np.ndarray] = {}
        self.runs: dict[tuple[str, str], np.ndarray] = {}

    def seeds(self, one: str, other: str) -> list[int]:
        return sorted(set(self.table.get(one, {})) & set(self.table.get(other, {})))

    def _array(self, method: str, seed: int) -> np.ndarray:
        """Scores of all items, NaN if missing."""
        if (method, seed) not in self.arrays:
            row = np.full(len(self.items), np.nan)
            scores = self.table[method][seed]
            row[[self.items[item] for item in scores]] = list(scores.values())
            self.arrays[method, seed] = row
        return self.arrays[method, seed]

    def of_items(self, one: str, other: str) -> np.ndarray:
        """Differences (seeds, items) over the items that every seed of both methods has."""
        x = np.array([self._array(one, s) - self._array(other, s) for s in self.seeds(one, other)])
        return x[:, ~np.isnan(x).any(axis=0)]

    def of_seeds(self, one: str, other: str) -> np.ndarray:
        """Mean difference of every shared seed, shape (seeds,)."""
        if (one, other) not in self.runs:
            if self.same_items:
                x = self.of_items(one, other)
                found = x.mean(axis=1) if x.size else np.array([])
            else:
                seeds = self.seeds(one, other)
                found = np.array([self.means[one][s] - self.means[other][s] for s in seeds])
            self.runs[one, other], self.runs[other, one] = found, -found
        return self.runs[one, other]

    def moderated(self, candidate: str, baseline: str) -> Moderated:
        """The between-seed variance of a pair, shrunk towards the pairs that share a method with it."""
        own = self._variance(candidate, baseline)
        if own is None or {candidate, baseline} & self.outlying.keys():
            runs = self.of_seeds(candidate, baseline)
            return Moderated(float(runs.var(ddof=1)), runs.size - 1.0, 0.0)
        usual = [m for m in self.table if m not in (candidate, baseline) and m not in self.outlying]
        mine, theirs = (
            [found for m in usual if (found := self._variance(one, m))] for one in (candidate, baseline)
        )
        reach = (own[1] + sum(degrees for _, degrees in star) for star in (mine, theirs))
        return moderate(own, [*mine, *theirs], min(reach), theirs)

    def _variance(self, one: str, other: str) -> tuple[float, float] | None:
        """Between-seed variance of a pair and its degrees of freedom; None for fewer than two shared seeds."""
        runs = self.of_seeds(one, other)
        return (float(runs.var(ddof=1)), runs.size - 1.0) if runs.size > 1 else None


def _difference(gaps: _Gaps, candidate: str, baseline: str) -> Difference:
    seeds = gaps.seeds(candidate, baseline)
    if not seeds:
        raise ValueError("the two share no seed")
    if len(seeds) == 1:
        if not gaps.same_items:
            raise ValueError("the two share one seed, and no item")
        return paired_difference(gaps.table[candidate][seeds[0]], gaps.table[baseline][seeds[0]])
    runs = gaps.of_seeds(candidate, baseline)
    if not runs.size:
        raise ValueError("the seeds share no item")
    x = gaps.of_items(candidate, baseline) if gaps.same_items else None
    shared = 0.0 if x is None else item_variance(x)
    between = gaps.moderated(candidate, baseline)
    mean, se = float(runs.mean()), math.sqrt(between.variance / runs.size + shared)
    low, high = student_interval(mean, se, between.degrees, 1 - ALPHA, (-1.0, 1.0))
    return Difference(
        mean, se, low, high, two_sided(mean, se, between.degrees), runs.size if x is None else x.shape[1],
        between.degrees, runs.size, between.variance, shared, between.prior_degrees,
    )  # fmt: skip


def mcnemar_mid_p(only_candidate: int, only_baseline: int) -> float:
    """Two-sided mid-p McNemar test from the two discordant counts (Fagerland et al., 2013, eq. 5).

    p = 2 P(X <= min) - P(X = min), X ~ Binomial(b + c, 1/2); 1 without discordant items.
    """
    from scipy.stats import binom

    n, low = only_candidate + only_baseline, min(only_candidate, only_baseline)
    if n == 0:
        return 1.0
    return float(min(1.0, 2 * binom.cdf(low, n, 0.5) - binom.pmf(low, n, 0.5)))
