"""Moderated t: between-seed variances from few seeds, shrunk towards those of the other methods.

Smyth (2004, Stat. Appl. Genet. Mol. Biol. 3, Linear models and empirical Bayes methods for assessing differential
expression in microarray experiments). With s² on d degrees of freedom and 1/σ² ~ χ²(d0) / (d0 s0²),

    s̃² = (d0 s0² + d s²) / (d0 + d),    t = difference / se(s̃²) on d0 + d degrees of freedom,

with d0 and s0² from the mean and variance of a table's log variances. Ours: which variances (docs/statistics.md).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

OUTLYING = 5.0
"""Distance from the method's median seed, in seed SDs of the table, beyond which a seed is an outlier. Ours; under a
normal distribution, one seed in millions."""
FEWEST = 3
"""Minimum number of variances to fit a prior to."""


@dataclass(frozen=True)
class Moderated:
    """A shrunk variance."""

    variance: float
    degrees: float
    """d0 + d, at most the degrees of freedom of all variances together."""
    prior_degrees: float
    """degrees - d."""


def trigamma_inverse(x: np.ndarray) -> np.ndarray:
    """The y with trigamma(y) = x > 0, by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    x = np.asarray(x, dtype=float)
    y = 0.5 + 1 / np.maximum(x, 1e-300)
    for _ in range(50):
        tri = polygamma(1, y)
        step = tri * (1 - tri / x) / polygamma(2, y)
        y = y + step
        if np.all(np.abs(step) <= 1e-10 * y):
            break
    return np.asarray(y)


def fit_prior(variances: np.ndarray, degrees: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """(s0², d0) over the last axis, by moments of z = log s² (Smyth 2004, section 6.2).

    e = z - ψ(d/2) + log(d/2);  ψ'(d0/2) = var(e) - mean ψ'(d/2), d0 = inf if that is not positive;
    s0² = exp(mean e + ψ(d0/2) - log(d0/2)). Variances below 1e-5 of the median are raised to it, as in limma.

    Args:
        variances: (..., G), G >= 2.
        degrees: d of each variance, broadcast.
    """
    from scipy.special import digamma, polygamma

    v = np.asarray(variances, dtype=float)
    d = np.broadcast_to(np.asarray(degrees, dtype=float), v.shape)
    floor = 1e-5 * np.median(v, axis=-1, keepdims=True)
    v = np.maximum(v, np.where(floor > 0, floor, 1e-12))
    e = np.log(v) - digamma(d / 2) + np.log(d / 2)
    spread = e.var(axis=-1, ddof=1) - polygamma(1, d / 2).mean(axis=-1)
    varies = spread > 0
    half = np.where(varies, trigamma_inverse(np.where(varies, spread, 1.0)), 1.0)
    correction = np.where(varies, digamma(half) - np.log(half), 0.0)
    return np.exp(e.mean(axis=-1) + correction), np.where(varies, 2 * half, np.inf)


def squeeze(
    variances: np.ndarray | float,
    degrees: np.ndarray | float,
    prior_variance: np.ndarray | float,
    prior_degrees: np.ndarray | float,
) -> np.ndarray:
    """s̃² = (d0 s0² + d s²) / (d0 + d); s0² if d0 = inf, s² if d0 = 0."""
    d0 = np.asarray(prior_degrees, dtype=float)
    pooled = np.isinf(d0)
    weight = np.where(pooled, 0.0, d0)
    shrunk = (weight * np.asarray(prior_variance) + np.multiply(degrees, variances)) / (weight + degrees)
    return np.where(pooled, prior_variance, shrunk)


def moderate(
    own: tuple[float, float],
    others: Sequence[tuple[float, float]],
    most: float,
    against: Sequence[tuple[float, float]] = (),
) -> Moderated:
    """One (variance, degrees) shrunk towards the prior fitted to it and `others`; unchanged if those are too few.

    Variances below 1e-5 of their median are excluded from the prior: the seed does not change either policy.

    Args:
        most: degrees of freedom of all of them together, as far as they are independent.
        against: those of `others` that are comparisons with the same baseline. s0² is at least the prior fitted to
            them, because a baseline that varies more than other methods is part of all its comparisons.
    """
    variance, degrees = own
    if len(found := fitted([own, *others])) == 0:
        return Moderated(variance, degrees, 0.0)
    s0, d0 = found
    s0 = max([s0, *fitted([own, *against])[:1]])
    total = max(degrees, min(degrees + d0, most))
    return Moderated(float(squeeze(variance, degrees, s0, d0)), total, total - degrees)


def fitted(given: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """(s0², d0) of the variances that are not near 0; () if they are too few."""
    v, d = np.array(given).T
    varies = v > 1e-5 * np.median(v)
    if varies.sum() < FEWEST:
        return ()
    s0, d0 = fit_prior(v[varies], d[varies])
    return float(s0), float(d0)


def outlying_seeds(means: Mapping[str, Mapping[int, float]]) -> dict[str, dict[int, float]]:
    """Method -> seed -> distance from the method's median seed, in seed SDs of the table, where beyond OUTLYING.

    The common effect of a seed (the median over methods) is subtracted first. Seed SD of a table: square root of the
    median over methods of variance / median of χ²(d)/d. {} for fewer than FEWEST methods with two seeds.
    """
    from scipy.special import chdtri

    rows = {m: dict(of_seed) for m, of_seed in means.items() if len(of_seed) > 1}
    if len(rows) < FEWEST:
        return {}
    middle = {m: float(np.median(list(of_seed.values()))) for m, of_seed in rows.items()}
    seeds = {seed for of_seed in rows.values() for seed in of_seed}
    common = {
        seed: float(np.median([rows[m][seed] - middle[m] for m in rows if seed in rows[m]])) for seed in seeds
    }
    left = {m: {seed: y - common[seed] for seed, y in of_seed.items()} for m, of_seed in rows.items()}
    spreads = [
        float(np.var(list(of_seed.values()), ddof=1)) / (chdtri(len(of_seed) - 1, 0.5) / (len(of_seed) - 1))
        for of_seed in left.values()
    ]
    sd = math.sqrt(float(np.median(spreads)))
    found: dict[str, dict[int, float]] = {}
    for method, of_seed in left.items():
        center = float(np.median(list(of_seed.values())))
        distances = {seed: (y - center) / sd for seed, y in of_seed.items() if sd > 0}
        if any(abs(away) > OUTLYING for away in distances.values()):
            found[method] = {seed: away for seed, away in distances.items() if abs(away) > OUTLYING}
    return found


def collapsed_seeds(means: Mapping[str, Mapping[int, float]]) -> dict[str, list[int]]:
    """Method -> outlying seeds below its median seed."""
    low = {m: [s for s, away in seeds.items() if away < 0] for m, seeds in outlying_seeds(means).items()}
    return {method: sorted(seeds) for method, seeds in low.items() if seeds}
