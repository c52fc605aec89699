"""Preference strength, its unit, and which labels it calls wrong."""

import pytest
import torch

from rlp_bench.trainers.equations.preference_strength import preference_strength, unit_spread, wrong_labels


def test_mean_and_population_deviation_of_four_models():
    # Scores of (chosen, rejected) by four models: differences 0.5, −0.1, −0.4, 0.1.
    # Mean 0.1 / 4 = 0.025; squares of the deviations 0.225625, 0.015625, 0.180625, 0.005625 sum to 0.4275;
    # √(0.4275 / 4) = 0.32691742 (over 3, the sample's, it would be 0.37749172).
    scores = torch.tensor([[1.0, 0.5], [0.8, 0.9], [0.2, 0.6], [1.5, 1.4]], dtype=torch.float64)
    mean, std = preference_strength((scores[:, 0] - scores[:, 1])[:, None])
    assert mean.item() == pytest.approx(0.025, abs=1e-12)
    assert std.item() == pytest.approx(0.32691742, abs=1e-8)


def test_models_that_agree_have_no_spread():
    mean, std = preference_strength(torch.tensor([[1.0, -2.0], [1.0, -2.0]]))
    assert mean.tolist() == [1.0, -2.0]
    assert std.tolist() == [0.0, 0.0]


def test_exchanged_responses_have_the_opposite_strength_and_the_same_spread():
    differences = torch.tensor([[1.0, -2.0, 0.3], [0.5, 1.0, 0.1]], dtype=torch.float64)
    mean, std = preference_strength(differences)
    turned_mean, turned_std = preference_strength(-differences)
    assert torch.equal(turned_mean, -mean)
    assert torch.equal(turned_std, std)


def test_the_scale_of_a_model_is_gone_after_division_by_its_spread():
    differences = torch.tensor([[1.0, -2.0, 0.3], [0.5, 1.0, 0.1]], dtype=torch.float64)
    louder = differences * torch.tensor([[7.0], [1.0]])
    assert torch.allclose(unit_spread(louder), unit_spread(differences), atol=1e-12, rtol=0)
    assert unit_spread(differences).std(1, unbiased=False).tolist() == pytest.approx([1.0, 1.0])
    assert torch.equal(unit_spread(differences).sign(), differences.sign())
    assert unit_spread(torch.full((2, 3), 0.4)).tolist() == torch.full((2, 3), 0.4).tolist()


def test_labels_are_wrong_below_zero_or_in_the_lowest_share():
    strength = torch.tensor([0.3, -0.1, 0.0, 2.0, -3.0, 0.3, 0.1, 0.2, 0.5, 0.6])
    assert wrong_labels(strength).nonzero().flatten().tolist() == [1, 4]
    assert wrong_labels(strength, 0.3).nonzero().flatten().tolist() == [1, 2, 4]
    assert not wrong_labels(strength, 0.0).any()
    assert wrong_labels(strength, 1.0).all()


def test_of_equal_strengths_the_first_are_taken():
    assert wrong_labels(torch.zeros(4), 0.5).tolist() == [True, True, False, False]


def test_a_share_of_a_third_of_ten_is_three_and_of_a_tenth_of_ten_one():
    """0.1 · 10 is 1, whatever floating point makes of it; 0.29 · 100 is 28.999... in floating point."""
    assert int(wrong_labels(torch.arange(10.0), 0.1).sum()) == 1
    assert int(wrong_labels(torch.arange(100.0), 0.29).sum()) == 29
