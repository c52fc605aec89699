"""Every number here was worked by hand or comes from a null simulation."""

import math

import numpy as np
import pytest

from rlp_bench.statistics import (
    average_within_items,
    estimate_mean,
    hierarchical_mean,
    holm,
    mcnemar_mid_p,
    paired_difference,
    paired_difference_over_seeds,
    smallest_detectable_difference,
    wilson_interval,
)


def named(values):
    return {f"item{i}": float(v) for i, v in enumerate(values)}


def test_standard_error_divides_by_n_minus_one():
    # Scores 0, .5, 1, 1: mean .625; squared deviations .390625+.015625+.140625+.140625 = .6875; /3 = .22917;
    # SE = sqrt(.22917 / 4) = .239357.
    e = estimate_mean([0, 0.5, 1, 1])
    assert e.mean == 0.625
    assert e.se == pytest.approx(0.2393568, abs=1e-7)
    assert e.n == 4
    assert e.degrees == 3
    assert e.low == 0.0  # .625 - 3.182 * .239 < 0 is clipped
    assert e.high == 1.0


def test_binary_scores_get_wilson_interval():
    # 8 of 10, z = 1.959964: centre (.8 + 3.8415/20) / (1 + .38415) = .71674; half .22658 -> (.4902, .9433).
    e = estimate_mean([1] * 8 + [0] * 2)
    assert (e.low, e.high) == pytest.approx((0.490162, 0.943318), abs=1e-5)
    assert wilson_interval(0.8, 10) == (e.low, e.high)


def test_all_equal_binary_scores_keep_an_honest_interval():
    e = estimate_mean([1] * 20)
    assert e.se == 0
    assert e.high == 1.0
    assert 0.8 < e.low < 0.9  # 1 / (1 + 3.84 / 20) = .839


def test_one_value_has_no_standard_error():
    assert math.isnan(estimate_mean([0.3]).se)
    with pytest.raises(ValueError, match="no value"):
        estimate_mean([])


def test_orders_are_averaged_within_the_item_before_anything_is_counted():
    rows = [("a", 1.0), ("a", 0.0), ("b", 1.0), ("b", None), ("c", None)]
    assert average_within_items(rows) == {"a": 0.5, "b": 1.0}


def test_both_orders_do_not_double_n():
    # 50 items judged twice with equal results must keep the error of 50 items, not of 100.
    rng = np.random.default_rng(0)
    once = rng.integers(0, 2, 50).astype(float)
    rows = [(str(i), s) for i, s in enumerate(once)] * 2
    e = estimate_mean(list(average_within_items(rows).values()))
    assert e.n == 50
    assert e.se == pytest.approx(estimate_mean(once).se)


def test_sign_flip_test_is_exact_for_few_items():
    # Differences 1, 1, 1, 1 (all won): of 16 sign patterns, two are as extreme: p = 2/16.
    d = paired_difference(named([1, 1, 1, 1]), named([0, 0, 0, 0]))
    assert d.mean == 1.0
    assert d.p == pytest.approx(0.125)


def test_difference_of_equal_scores_is_nothing():
    d = paired_difference(named([1, 0, 0.5]), named([1, 0, 0.5]))
    assert (d.mean, d.se, d.p) == (0.0, 0.0, 1.0)


def test_paired_difference_joins_on_item_never_on_position():
    a, b = {"x": 1.0, "y": 0.0, "z": 1.0}, {"z": 1.0, "y": 0.0, "x": 1.0, "w": 0.0}
    d = paired_difference(a, b)
    assert d.n == 3
    assert d.mean == 0.0


def test_swapping_the_two_swaps_the_sign_and_keeps_p():
    rng = np.random.default_rng(3)
    a, b = named(rng.random(60)), named(rng.random(60))
    ab, ba = paired_difference(a, b), paired_difference(b, a)
    assert ab.mean == pytest.approx(-ba.mean)
    assert (ab.low, ab.high) == pytest.approx((-ba.high, -ba.low))
    assert ab.p == pytest.approx(ba.p, abs=0.02)


def test_bootstrap_interval_agrees_with_t_on_many_items():
    rng = np.random.default_rng(4)
    a, b = named(rng.random(400)), named(rng.random(400) - 0.05)
    t, bca = paired_difference(a, b), paired_difference(a, b, interval="bootstrap")
    assert (bca.low, bca.high) == pytest.approx((t.low, t.high), abs=0.01)


def test_mid_p_mcnemar_by_hand():
    # b = 1, c = 5: 2 (1 + 6) / 64 - 6 / 64 = 8 / 64.
    assert mcnemar_mid_p(1, 5) == pytest.approx(0.125)
    assert mcnemar_mid_p(5, 1) == pytest.approx(0.125)
    assert mcnemar_mid_p(3, 3) == 1.0
    assert mcnemar_mid_p(0, 0) == 1.0


def test_mid_p_is_below_the_exact_p_of_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar

    exact = mcnemar([[0, 4], [13, 0]], exact=True).pvalue
    assert mcnemar_mid_p(4, 13) < exact
    assert mcnemar_mid_p(4, 13) == pytest.approx(exact - 2380 / 2**17)  # C(17, 4) = 2380


def test_holm_by_hand():
    # Sorted .01 .02 .04 times 3, 2, 1 -> .03 .04 .04, monotone.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([]) == []


def test_smallest_detectable_difference_matches_the_published_table():
    # SD .62 of a binary paired difference: 6.1 points (5.4 one-sided) on 805 items, 17.4 on 100, 19.4 on 80.
    for n, points in ((805, 6.1), (252, 10.9), (100, 17.4), (80, 19.4)):
        assert 100 * smallest_detectable_difference(0.62, n) == pytest.approx(points, abs=0.05)
    assert 100 * smallest_detectable_difference(0.62, 805, two_sided=False) == pytest.approx(5.4, abs=0.05)


def test_hierarchical_mean_of_one_seed_is_the_plain_mean():
    scores = named([0, 0.5, 1, 1])
    assert hierarchical_mean([scores]) == estimate_mean([0, 0.5, 1, 1])


def test_hierarchical_mean_by_hand():
    # Two seeds, two items: [[0, 1], [0, 0]]. Items 0 and .5: var .125 / 2 = .0625; seeds .5 and 0: .0625;
    # residuals +-.25: sum .25 / 1 / 4 = .0625. Var = .0625, SE = .25.
    e = hierarchical_mean([{"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 0.0}])
    assert e.mean == 0.25
    assert e.se == pytest.approx(0.25)
    assert e.n == 2


def test_seed_to_seed_spread_widens_the_interval():
    items = named(np.linspace(0.2, 0.6, 400))
    same = [items, items, items]
    spread = [{k: v + shift for k, v in items.items()} for shift in (-0.1, 0.0, 0.1)]
    assert hierarchical_mean(same).se == pytest.approx(estimate_mean(list(items.values())).se)
    wide = hierarchical_mean(spread)
    assert wide.se > 0.057  # SD .1 over 3 seeds = .0577
    assert wide.high - wide.low > 0.3  # t with about 2 degrees of freedom


def test_interval_over_seeds_covers_the_truth():
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        x = 0.5 + rng.normal(0, 0.3, 60)[None] + rng.normal(0, 0.04, 4)[:, None] + rng.normal(0, 0.3, (4, 60))
        e = hierarchical_mean([named(row) for row in x], bounds=(-9.0, 9.0))
        hits += e.low <= 0.5 <= e.high
    assert hits >= 0.93 * 400


@pytest.mark.parametrize("n", [80, 805])
def test_false_alarms_of_mid_p_stay_near_five_percent(n):
    # Two equal models, binary scores that correlate .25; 3 000 repetitions.
    rng = np.random.default_rng(n)
    alarms = 0
    for _ in range(3000):
        shared = rng.random(n) < 0.25
        common = rng.random(n) < 0.5
        a, b = (np.where(shared, common, rng.random(n) < 0.5) for _ in range(2))
        alarms += mcnemar_mid_p(int((a & ~b).sum()), int((b & ~a).sum())) < 0.05
    assert alarms / 3000 <= 0.06  # .05 + 2.5 standard errors of the simulation


def test_false_alarms_of_the_permutation_test_stay_near_five_percent():
    rng = np.random.default_rng(11)
    alarms = sum(
        paired_difference(named(rng.random(80)), named(rng.random(80)), resamples=399, seed=k).p < 0.05
        for k in range(400)
    )
    assert alarms / 400 <= 0.077  # .05 + 2.5 standard errors


def test_false_alarms_over_seeds_stay_near_five_percent():
    rng = np.random.default_rng(13)
    alarms = 0
    for _ in range(400):
        runs = [{s: named(rng.normal(0, 0.05) + rng.random(60)) for s in range(3)} for _ in range(2)]
        alarms += paired_difference_over_seeds(runs[0], runs[1]).p < 0.05
    assert alarms / 400 <= 0.077
