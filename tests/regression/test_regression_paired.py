"""The gate's tests and bounds, worked by hand."""

import numpy as np
import pytest
from scipy.stats import norm, ttest_1samp

from rlp_bench.regression.paired import (
    bonett_price,
    bootstrap_quantiles,
    bounds,
    compare_scores,
    mcnemar_p_worse,
    p_worse,
    sign_flip_p_worse,
)
from rlp_bench.statistics import mcnemar_mid_p


def test_mid_p_mcnemar_by_hand():
    # b = 1, c = 4, X ~ Binomial(5, 1/2): P(X < 1) + P(X = 1) / 2 = 1/32 + (5/32) / 2 = 3.5 / 32.
    assert mcnemar_p_worse(1, 4) == pytest.approx(3.5 / 32)
    assert 2 * mcnemar_p_worse(1, 4) == pytest.approx(mcnemar_mid_p(1, 4))
    assert mcnemar_p_worse(4, 1) == pytest.approx(1 - 3.5 / 32)
    assert mcnemar_p_worse(0, 0) == 0.5


def test_sign_flips_by_hand():
    # |d| = 1, 2, 4: the eight sums differ, the observed -7 is the least: P(T = t) / 2 = 1/16.
    assert sign_flip_p_worse([-1.0, -2.0, -4.0]) == pytest.approx(1 / 16, abs=0.01)
    assert sign_flip_p_worse([1.0, 2.0, 4.0]) == pytest.approx(15 / 16, abs=0.01)
    assert sign_flip_p_worse(np.zeros(50)) == 0.5


def test_sign_flips_are_mcnemar_where_outcomes_are_binary():
    d = np.array([1.0] * 9 + [-1.0] * 18 + [0.0] * 60)
    assert sign_flip_p_worse(d) == pytest.approx(p_worse(d, binary=True), abs=0.005)


def test_sign_flips_are_the_t_test_where_differences_are_normal():
    d = np.random.default_rng(1).normal(-0.06, 0.4, 200)
    assert sign_flip_p_worse(d) == pytest.approx(ttest_1samp(d, 0, alternative="less").pvalue, abs=0.005)


def test_bonett_price_by_hand():
    # Nothing discordant in 98 items: 1/100 each, no difference, half width z sqrt(.02 / 100).
    low, high = bonett_price(0, 0, 98, tail=0.025)
    assert high == pytest.approx(norm.isf(0.025) * 0.02**0.5 / 10)
    assert low == -high
    assert bonett_price(0, 0, 98, tail=0.05)[0] > low
    # b = 10, c = 30: .11 and .31, difference -.2, variance (.42 - .2^2) / 100.
    low, high = bonett_price(10, 30, 98, tail=0.025)
    assert (low + high) / 2 == pytest.approx(-0.2)
    assert (high - low) / 2 == pytest.approx(1.959964 * 0.38**0.5 / 10)


def test_bootstrap_is_student_where_differences_are_normal():
    d = np.random.default_rng(2).normal(0.1, 0.5, 400)
    ends = ttest_1samp(d, 0).confidence_interval(0.95)
    low, high = bootstrap_quantiles(d, (0.025, 0.975))
    assert (low, high) == (pytest.approx(ends.low, abs=0.003), pytest.approx(ends.high, abs=0.003))


def test_many_experiments_at_once_are_the_same_as_one_by_one():
    d = np.random.default_rng(3).normal(0, 1, (4, 30))
    assert p_worse(d, binary=False) == pytest.approx([p_worse(row, binary=False) for row in d])
    together = np.array(bounds(d, binary=False))
    assert together == pytest.approx(np.array([bounds(row, binary=False) for row in d]).T)


def test_comparison_is_over_shared_items_and_counts_who_wins():
    old = {"a": 1.0, "b": 0.0, "c": 1.0, "d": 1.0, "only": 1.0}
    new = {"a": 0.0, "b": 0.0, "c": 1.0, "d": 0.0, "other": 0.0}
    found = compare_scores(new, old)
    assert (found.n, found.better, found.worse, found.test) == (4, 0, 2, "mid-p McNemar")
    assert (found.baseline, found.candidate, found.difference) == (0.75, 0.25, -0.5)
    assert found.p == pytest.approx(1 / 8)  # half of P(X = 0), X ~ Binomial(2, 1/2)
    assert found.sd == pytest.approx((1 / 3) ** 0.5)  # -1, -1, 0, 0
    assert found.detectable == pytest.approx((1.644854 + 0.841621) * found.sd / 2)  # one-sided 5 %, 80 %
    soft = compare_scores({**new, "a": 0.5}, old)
    assert soft.test == "sign-flip permutation"
    with pytest.raises(ValueError, match="two shared items"):
        compare_scores({"a": 1.0}, old)


def test_the_same_scores_give_the_same_numbers():
    rng = np.random.default_rng(4)
    old = {str(i): float(s) for i, s in enumerate(rng.random(90))}
    new = {str(i): float(s) for i, s in enumerate(rng.random(90))}
    assert compare_scores(new, old) == compare_scores(dict(reversed(new.items())), old)
