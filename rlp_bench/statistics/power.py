"""Power analysis: the smallest detectable difference, and the number of seeds needed."""

import math
from functools import lru_cache

import numpy as np

POWER = 0.8
"""Probability of detecting the effect."""
GRID = (np.arange(500) + 0.5) / 500
"""Quantiles of the distribution of the estimated standard error."""


def smallest_detectable_difference(
    sd: float, n: int, *, power: float = POWER, alpha: float = 0.05, two_sided: bool = True
) -> float:
    """(z_{1-alpha/2} + z_power) sd / sqrt(n): the true mean that a test of n items detects with that power."""
    from scipy.stats import norm

    tail = alpha / 2 if two_sided else alpha
    return float((norm.ppf(1 - tail) + norm.ppf(power)) * sd / math.sqrt(n))


def t_power(shift: float, degrees: float, level: float) -> float:
    """P(T > t_{1-level/2, degrees}), T noncentral t: power of a two-sided test to detect an effect with its sign.

    Φ(shift - t sqrt(χ²/degrees)) averaged over quantiles of χ². `shift` is the effect divided by its standard error.
    """
    from scipy.special import ndtr

    return float(ndtr(shift - _bars(degrees, level)).mean())


@lru_cache(maxsize=512)
def _bars(degrees: float, level: float) -> np.ndarray:
    """Critical values, in true standard errors, at every quantile of the estimated standard error."""
    from scipy.special import chdtri, stdtrit

    return np.asarray(stdtrit(degrees, 1 - level / 2) * np.sqrt(chdtri(degrees, GRID) / degrees))


@lru_cache(maxsize=4096)
def detectable_shift(degrees: float, level: float, power: float = POWER) -> float:
    """The effect, in standard errors, that a two-sided t test detects with that power; NaN if degrees <= 0."""
    if not degrees > 0:
        return math.nan
    low, high = 0.0, 1.0
    while t_power(high, degrees, level) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if t_power(middle, degrees, level) < power else (low, middle)
    return high


def seeds_needed(
    effect: float,
    seed_variance: float,
    item_variance: float,
    prior_degrees: float,
    level: float,
    most: int = 1000,
) -> float:
    """Seeds needed to detect a true `effect` at `level` with 80 % power; inf above `most`.

    Var(S seeds) = seed_variance / S + item_variance on prior_degrees + S - 1 degrees of freedom. The items stay the
    same, so that item_variance does not decrease with S.
    """

    def enough(seeds: int) -> bool:
        error = math.sqrt(seed_variance / seeds + item_variance)
        degrees = prior_degrees + seeds - 1
        return error == 0 or t_power(abs(effect) / error, degrees, level) >= POWER

    if effect == 0 or not enough(most):
        return math.inf
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
