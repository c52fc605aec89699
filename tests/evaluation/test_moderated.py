"""Shrunk seed variances, against formulas written out here, limits, and simulated tables."""

import math

import numpy as np
import pytest
from benchmark_modules import load_benchmark

from rlp_bench.statistics import (
    collapsed_seeds,
    fit_prior,
    item_variance,
    moderated_means,
    outlying_seeds,
    paired_difference_over_seeds,
    paired_differences,
    squeeze,
    step_down,
)
from rlp_bench.statistics.moderated import trigamma_inverse
from rlp_bench.statistics.power import detectable_shift, seeds_needed, t_power

simulation = load_benchmark("seed_simulation")


def table(x):
    """Methods x seeds x items as method -> seed -> item -> score."""
    return {
        f"m{m}": {s: {f"i{i}": float(v) for i, v in enumerate(row)} for s, row in enumerate(of_seed)}
        for m, of_seed in enumerate(x)
    }


def drawn(rng, methods=8, seeds=5, items=40, seed_sd=0.03):
    own = rng.normal(0, seed_sd, (methods, seeds))[:, :, None]
    return 0.5 + own + rng.normal(0, 0.05, (methods, 1, items)) + rng.normal(0, 0.1, (methods, seeds, items))


def test_trigamma_inverse_undoes_trigamma():
    from scipy.special import polygamma

    y = np.array([0.01, 0.3, 1.0, 2.5, 40.0, 1e4])
    assert trigamma_inverse(polygamma(1, y)) == pytest.approx(y, rel=1e-8)


def test_prior_solves_the_two_moment_equations():
    """Smyth 2004, section 6.2, with the root sought by bisection: another way than the one in the package."""
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    v, d = np.array([0.4, 9.0, 1.0, 0.05, 3.0, 22.0]), 4.0
    z = np.log(v)
    excess = z.var(ddof=1) - polygamma(1, d / 2)
    d0 = brentq(lambda x: polygamma(1, x / 2) - excess, 1e-3, 1e3)
    s0 = math.exp(z.mean() - digamma(d / 2) + math.log(d / 2) + digamma(d0 / 2) - math.log(d0 / 2))
    assert fit_prior(v, d) == (pytest.approx(s0), pytest.approx(d0))


def test_prior_is_found_again_in_many_variances():
    rng = np.random.default_rng(0)
    d0, s0, d = 6.0, 2.0, 4.0
    sigma2 = d0 * s0 / rng.chisquare(d0, 200_000)
    found = fit_prior(sigma2 * rng.chisquare(d, 200_000) / d, d)
    assert found == (pytest.approx(s0, rel=0.02), pytest.approx(d0, rel=0.05))


def test_equal_variances_are_pooled_and_without_a_prior_nothing_is_shrunk():
    s0, d0 = fit_prior(np.array([1.0, 1.1, 0.9, 1.0]), 4.0)
    assert d0 == math.inf
    assert squeeze(1.1, 4.0, s0, d0) == s0
    assert squeeze(1.1, 4.0, 77.0, 0.0) == pytest.approx(1.1)
    assert squeeze(1.0, 4.0, 3.0, 4.0) == pytest.approx(2.0)  # half and half


def test_variances_of_nothing_give_no_error():
    assert fit_prior(np.zeros(5), 2.0)[0] < 1e-11


def test_two_methods_alone_are_compared_by_students_t_over_seeds():
    from scipy.stats import ttest_1samp

    x = drawn(np.random.default_rng(1), methods=2)
    runs = (x[0] - x[1]).mean(axis=1)
    d = paired_difference_over_seeds(*table(x).values())
    assert d.degrees == 4
    assert d.prior_degrees == 0
    assert d.se**2 == pytest.approx(runs.var(ddof=1) / 5 + item_variance(x[0] - x[1]))
    # one item to a seed: nothing is left to the items, and it is scipy's test
    y = x[:, :, :1]
    assert paired_difference_over_seeds(*table(y).values()).p == pytest.approx(
        ttest_1samp((y[0] - y[1])[:, 0], 0).pvalue
    )


def test_what_items_leave_is_their_variance_less_what_seeds_average():
    """By hand: [[0, 1], [0, 0]]: items 0, .5: .125 / 2 = .0625; residuals +-.25: .25 / 1 / 4 = .0625: nothing."""
    assert item_variance(np.array([[0.0, 1.0], [0.0, 0.0]])) == 0.0
    same = np.array([[0.0, 1.0, 0.5], [0.1, 1.1, 0.6]])  # items + seeds, no residual: variance .25 / 3
    assert item_variance(same) == pytest.approx(0.25 / 3)
    assert item_variance(same[:1]) == pytest.approx(0.25 / 3)


def test_five_seeds_that_agree_by_luck_are_no_certainty():
    """Was p = 1e-12 or less: degrees of freedom came from the lucky variance (infomax - rm_retrain: 4.4e-16)."""
    x = drawn(np.random.default_rng(3), methods=6, items=400)
    luck = np.random.default_rng(4)
    x[0] = x[1] - 0.056 + luck.normal(0, 0.1, (1, 400)) + luck.normal(0, 0.001, (5, 1))
    lucky = paired_differences(table(x), [("m0", "m1")])[0]
    assert lucky.mean == pytest.approx(-0.056, abs=0.02)
    assert lucky.p > 1e-4
    alone = paired_difference_over_seeds(table(x)["m0"], table(x)["m1"])
    assert alone.degrees == 4
    assert lucky.se > 1.3 * alone.se


def test_methods_that_are_the_same_policy_do_not_spoil_the_prior():
    x = drawn(np.random.default_rng(13))
    before = paired_differences(table(x), [("m1", "m0")])[0]
    twin = paired_differences(table([*x, x[0]]), [("m1", "m0"), ("m8", "m0")])
    assert twin[0].degrees > 0.5 * before.degrees
    assert (twin[1].mean, twin[1].p) == (0.0, 1.0)


def test_shrinking_by_hand():
    """Three methods, one item: their three differences are each other's prior."""
    y = np.array([[0.1, 0.3, 0.2], [0.0, 0.1, 0.05], [0.5, 0.3, 0.6]])
    variances = np.array([(y[a] - y[b]).var(ddof=1) for a, b in ((0, 1), (0, 2), (1, 2))])
    s0, d0 = fit_prior(variances, 2.0)  # two against m1 are too few for a prior of their own
    expected = s0 if math.isinf(d0) else (d0 * s0 + 2 * variances[0]) / (d0 + 2)
    d = paired_differences(table(y[:, :, None]), [("m0", "m1")])[0]
    assert d.seed_variance == pytest.approx(float(expected))
    assert d.degrees == pytest.approx(min(float(d0) + 2, 4.0))


def test_swapping_a_pair_swaps_the_sign():
    one, other = paired_differences(table(drawn(np.random.default_rng(5))), [("m2", "m5"), ("m5", "m2")])
    assert (one.mean, one.degrees) == (pytest.approx(-other.mean), pytest.approx(other.degrees))
    assert one.se == pytest.approx(other.se, rel=0.3)  # the baseline's own spread counts once more


def test_a_baseline_that_varies_more_than_the_others_widens_its_own_comparisons_only():
    x = drawn(np.random.default_rng(14))
    before = paired_differences(table(x), [("m1", "m0"), ("m1", "m2")])
    x[0] += np.random.default_rng(15).normal(0, 0.08, (5, 1))
    after = paired_differences(table(x), [("m1", "m0"), ("m1", "m2")])
    assert after[0].seed_variance > 2 * before[0].seed_variance
    assert after[1].seed_variance < 2 * before[1].seed_variance


def test_the_order_of_the_table_changes_nothing():
    found = table(drawn(np.random.default_rng(6)))
    turned = {m: {s: dict(reversed(v.items())) for s, v in r.items()} for m, r in reversed(found.items())}
    assert (
        paired_differences(found, [("m1", "m0")])[0].p
        == pytest.approx(paired_differences(turned, [("m1", "m0")])[0].p)
    )  # fmt: skip


def test_a_collapsed_method_is_named_and_kept_out_of_the_prior():
    x = drawn(np.random.default_rng(7))
    x[6, 3] -= 0.4
    found = table(x)
    assert collapsed_seeds({m: {s: np.mean(list(v.values())) for s, v in r.items()} for m, r in found.items()}) == {
        "m6": [3]
    }  # fmt: skip
    without = {m: r for m, r in found.items() if m != "m6"}
    assert paired_differences(found, [("m1", "m0")]) == paired_differences(without, [("m1", "m0")])
    own = paired_differences(found, [("m6", "m0")])[0]
    assert (own.degrees, own.prior_degrees) == (4, 0)


def test_a_seed_that_is_hard_for_all_is_nobodys_collapse():
    x = drawn(np.random.default_rng(8))
    x[:, 2] -= 0.4
    means = {f"m{m}": dict(enumerate(row.mean(axis=1))) for m, row in enumerate(x)}
    assert outlying_seeds(means) == {}
    assert (
        outlying_seeds({"a": {0: 0.1, 1: 0.9}, "b": {0: 0.5, 1: 0.5}}) == {}
    )  # too few to know what is usual


def test_only_shared_seeds_and_items_are_paired():
    found = table(drawn(np.random.default_rng(9), seeds=4))
    del found["m1"][0]
    found["m2"][3].pop("i0")
    one, other = paired_differences(found, [("m1", "m0"), ("m2", "m0")])
    assert (one.seeds, one.n) == (3, 40)
    assert (other.seeds, other.n) == (4, 39)
    with pytest.raises(ValueError, match="share no seed"):
        paired_differences({"a": {0: {"i": 1.0}}, "b": {1: {"i": 1.0}}}, [("a", "b")])


def test_one_seed_says_nothing_about_others():
    found = {m: {0: r[0]} for m, r in table(drawn(np.random.default_rng(10))).items()}
    d = paired_differences(found, [("m1", "m0")])[0]
    assert math.isnan(d.seed_variance)
    assert math.isnan(d.seeds_needed(0.05))


def test_the_vectorised_simulation_is_the_packages_test():
    rng = np.random.default_rng(11)
    x = drawn(rng, methods=6, items=30)
    mine = paired_differences(table(x), [(f"m{m}", "m0") for m in range(1, 6)])
    items = np.array([[item_variance(x[m] - x[0]) for m in range(1, 6)]])
    theirs = simulation.p_values(x.mean(axis=2)[None], items)["moderated"][0]
    assert [d.p for d in mine] == pytest.approx(list(theirs))


@pytest.mark.parametrize(
    ("spread", "seeds", "limit"), [("equal", 3, 6.0), ("equal", 5, 6.0), ("lognormal", 5, 6.5)]
)
def test_tables_of_equal_methods_seldom_call_one_different(spread, seeds, limit):
    """1000 tables of 19 comparisons; before, 29 and 10 % of those with equal variances."""
    found = simulation.simulate(seeds, spread, 1000)
    assert found["moderated"]["family"] <= limit  # 5 % and what 1000 tables may add
    assert found["moderated"]["single"] <= 6.5
    assert found["satterthwaite"]["family"] > limit  # the simulation can tell


def test_five_points_are_found_by_five_seeds_twice_as_often_as_before():
    found = simulation.simulate(5, "equal", 600)
    assert found["moderated"]["power"] > 50
    assert found["satterthwaite"]["power"] < 40
    assert found["plain"]["power"] < 15


def test_means_over_seeds_cover_the_truth():
    """Rows that share what a seed does to all of them: that part is not shrunk."""
    rng = np.random.default_rng(12)
    hits = total = 0
    for _ in range(150):
        y = 0.5 + rng.normal(0, 0.03, 4)[None] + rng.normal(0, 0.02, (8, 4)) + rng.normal(0, 0.01, (8, 1))
        rows = {f"m{m}": dict(enumerate(row)) for m, row in enumerate(y)}
        found = moderated_means(rows, dict.fromkeys(rows, 0.01**2))
        hits += sum(e.low <= 0.5 <= e.high for e in found.values())
        total += 8
    assert 0.93 <= hits / total <= 0.98


def test_a_row_with_one_seed_has_no_error():
    found = moderated_means({"a": {0: 0.4, 1: 0.5}, "b": {0: 0.3}}, {"a": 0.0, "b": 0.0})
    assert math.isnan(found["b"].se)
    assert found["a"].se == pytest.approx(0.05)
    assert found["a"].degrees == 1


# --- several tests at once, and what they could see ---------------------------------------------------------


def test_step_down_is_holm_where_all_can_be_true_together():
    from statsmodels.stats.multitest import multipletests

    p = [0.04, 0.001, 0.02, 0.3, 0.011]
    assert [a.p for a in step_down(p)] == pytest.approx(multipletests(p, method="holm")[1])


def test_hypotheses_that_exclude_each_other_count_once():
    """Two claims, each "0" and "as published", by hand: .01 x 2; .02 x 2 (claim 2 is open twice, 1 once); then claim 1
    is decided: .03 x 1 is below .04, so .04; .9 x 1."""
    found = step_down([0.01, 0.02, 0.03, 0.9], exclusive=["1", "1", "2", "2"])
    assert [a.p for a in found] == pytest.approx([0.02, 0.04, 0.04, 0.9])


def test_level_of_a_test_is_what_its_p_must_fall_below():
    p = [0.001, 0.02, 0.2, 0.5]
    levels = [a.level for a in step_down(p)]
    assert levels == pytest.approx([0.05 / 4, 0.05 / 3, 0.05 / 3, 0.05 / 3])
    for place, level in enumerate(levels):
        for factor, rejected in ((0.999, True), (1.001, False)):
            tried = [*p]
            tried[place] = level * factor
            assert (step_down(tried)[place].p < 0.05) is rejected


def test_power_of_t_is_the_noncentral_t_of_scipy():
    from scipy.stats import nct, t

    for shift, degrees, level in ((3.0, 4.0, 0.05), (6.0, 10.0, 0.002), (2.8, 200.0, 0.05)):
        exact = nct.sf(t.ppf(1 - level / 2, degrees), degrees, shift)
        assert t_power(shift, degrees, level) == pytest.approx(exact, abs=1e-3)
        assert t_power(detectable_shift(degrees, level), degrees, level) == pytest.approx(0.8, abs=1e-6)


def test_what_can_be_seen_is_what_the_deciding_test_sees():
    """RLP-UML against PPO: error 1.24 points over five seeds. By z it could see 3.5; at Holm's first step of 32 on 4
    degrees 11.7."""
    assert 1.24 * detectable_shift(1e6, 0.05) == pytest.approx(3.5, abs=0.05)
    assert 1.24 * detectable_shift(4.0, 0.05 / 32) == pytest.approx(11.7, abs=0.3)


def test_seeds_needed_are_the_fewest_that_see_it():
    n = seeds_needed(0.034, 0.025**2, 0.004**2, 20.0, 0.05 / 8)
    for seeds, enough in ((n, True), (n - 1, False)):
        error = math.sqrt(0.025**2 / seeds + 0.004**2)
        assert (0.034 / error >= detectable_shift(20.0 + seeds - 1, 0.05 / 8)) is enough
    assert seeds_needed(0.0, 0.025**2, 0.0, 0.0, 0.05) == math.inf
    assert (
        seeds_needed(0.01, 0.0, 0.02**2, 0.0, 0.05) == math.inf
    )  # the items do not tell, however many seeds
