"""The gate does not cry wolf: false alarms, power and coverage of its own code on simulated runs."""

import numpy as np
import pytest
from benchmark_modules import load_benchmark

from rlp_bench.regression.paired import p_worse
from rlp_bench.statistics import holm

simulation = load_benchmark("null_simulation")
KINDS = ("binary", "binary-tied", "soft", "soft-tied")
CASES = [(kind, n) for kind in KINDS for n in simulation.SIZES]


@pytest.mark.parametrize(("kind", "n"), [case for case in CASES if case[1] < 805 or case[0] == "binary"])
def test_false_alarms_and_coverage_of_few_runs(kind, n):
    found = simulation.simulate(kind, n, 0.0, 2000, resamples=999)
    assert 3.5 <= found["regression"] <= 6.5  # 5 % and three errors of 2,000 runs
    assert 93.5 <= found["coverage"] <= 96.5


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "n"), CASES)
def test_false_alarms_are_between_4_and_5_5_percent_and_coverage_between_94_and_96(kind, n):
    found = simulation.simulate(kind, n, 0.0, 10_000, resamples=1999)
    assert 4.0 <= found["p_below_5"] <= 5.5
    assert 4.0 <= found["regression"] <= 5.5
    assert 94.0 <= found["coverage"] <= 96.0
    assert 94.0 <= found["bound_coverage"] <= 96.0


@pytest.mark.parametrize(("n", "loss"), simulation.PUBLISHED_POWER)
def test_power_is_the_published_one_within_2_points(n, loss):
    found = simulation.simulate("binary", n, float(loss), 40_000)
    assert found["regression"] == pytest.approx(simulation.PUBLISHED_POWER[n, loss], abs=2.0)
    assert 94.0 <= found["coverage"] <= 96.0


@pytest.mark.parametrize(("n", "alarms"), [(80, 40.0), (805, 17.0)])
def test_a_fixed_drop_of_2_points_cries_wolf(n, alarms):
    d = simulation.binary(np.random.default_rng(1), 5000, n, 0.0)
    assert 100 * (d.mean(axis=-1) < -0.02).mean() == pytest.approx(alarms, abs=2.0)


def test_three_gating_suites_together_raise_one_false_alarm_in_twenty_at_most():
    rng = np.random.default_rng(2)
    p = np.stack([p_worse(simulation.binary(rng, 4000, n, 0.0), binary=True) for n in (305, 480, 805)])
    least = p.min(axis=0)
    adjusted = [min(holm(list(row))) for row in p.T[:20]]
    assert adjusted == pytest.approx(np.minimum(1.0, 3 * least[:20]))  # Holm's least p is Bonferroni's
    assert 0.035 <= (3 * least <= 0.05).mean() <= 0.06
    assert (least <= 0.05).mean() > 0.12  # without the correction


def test_five_percent_is_for_new_items_of_the_same_subsets_not_for_new_subsets():
    """What docs/regression.md says about items that share their subset's effect."""
    here = simulation.simulate("subsets-0", 805, 0.0, 4000)
    assert 4.0 <= here["regression"] <= 6.2
    assert 94.0 <= here["coverage"] <= 97.0
    elsewhere = simulation.simulate("subsets", 805, 0.0, 4000)
    assert 10.0 <= elsewhere["regression"] <= 17.0
    assert elsewhere["coverage"] < 90.0


def test_a_margin_above_the_noise_only_lowers_false_alarms():
    # SD .27, 805 items: one error is 1 point; a margin of 6 points is far outside the noise.
    found = simulation.simulate("soft-tied", 805, 0.0, 500, margin_points=6.0, resamples=499)
    assert found["regression"] < 1.0 < found["p_below_5"]
