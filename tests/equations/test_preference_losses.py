"""Adaptive margin and label smoothing, the losses of a reward model on pairs of uncertain labels."""

import math

import pytest
import torch

from rlp_bench.trainers.equations.adaptive_margin import adaptive_margin, adaptive_margin_loss
from rlp_bench.trainers.equations.bradley_terry import bradley_terry_loss
from rlp_bench.trainers.equations.label_smoothing import label_smoothing_loss

CHOSEN = torch.tensor([1.2, -0.3, 0.8, 2.0], dtype=torch.float64)
REJECTED = torch.tensor([0.7, 0.1, 1.5, -1.0], dtype=torch.float64)
MARGIN = torch.tensor([0.5, -0.2, 0.0, 1.0], dtype=torch.float64)


def smoothed(chosen, rejected, alpha):
    """Equation 5 with Bradley-Terry."""
    return label_smoothing_loss(
        bradley_terry_loss(chosen, rejected), bradley_terry_loss(rejected, chosen), alpha
    )


def test_margin_loss_of_four_pairs():
    # By hand, pair 0: Δ − m = 1.2 − 0.7 − 0.5 = 0, log 2. Pair 3: 2 + 1 − 1 = 2, log(1 + e^−2) = 0.12692801.
    losses = adaptive_margin_loss(CHOSEN, REJECTED, MARGIN)
    assert losses[0].item() == pytest.approx(math.log(2), abs=1e-12)
    assert losses[3].item() == pytest.approx(0.12692801, abs=1e-8)
    assert losses.mean().item() == pytest.approx(0.6803500275, abs=1e-10)


def test_no_margin_is_bradley_terry_to_the_bit():
    assert torch.equal(
        adaptive_margin_loss(CHOSEN, REJECTED, 0 * MARGIN), bradley_terry_loss(CHOSEN, REJECTED)
    )


def test_the_margin_is_inside_the_logistic_and_a_larger_one_pulls_harder():
    """Outside of it, as printed, it would leave the gradient as it is."""
    gradients = []
    for margin in (0.0, 1.0):
        chosen = CHOSEN.clone().requires_grad_()
        adaptive_margin_loss(chosen, REJECTED, torch.full_like(MARGIN, margin)).sum().backward()
        gradients.append(chosen.grad)
    assert (gradients[1] < gradients[0]).all()
    assert (gradients[0] < 0).all()


def test_exchanged_responses_have_the_opposite_margin():
    """σ(Δ − m) and σ(−(Δ − m)) are the two probabilities of one pair."""
    both = torch.exp(-adaptive_margin_loss(CHOSEN, REJECTED, MARGIN)) + torch.exp(
        -adaptive_margin_loss(REJECTED, CHOSEN, -MARGIN)
    )
    assert torch.allclose(both, torch.ones(4, dtype=torch.float64), atol=1e-12, rtol=0)


def test_margin_is_the_strength_scaled_then_clipped():
    strength = torch.tensor([-3.0, -0.5, 0.0, 4.0])
    assert torch.equal(adaptive_margin(strength), strength)
    assert adaptive_margin(strength, scale=0.5, clip=1.0).tolist() == [-1.0, -0.25, 0.0, 1.0]
    assert adaptive_margin(strength, clip=0.0).abs().max() == 0


def test_smoothed_loss_of_four_pairs():
    # By hand, pair 0: Δ = 0.5; 0.9 · 0.47407698 + 0.1 · 0.97407698 = 0.52407698.
    losses = smoothed(CHOSEN, REJECTED, 0.1)
    assert losses[0].item() == pytest.approx(0.52407698, abs=1e-8)
    assert losses.mean().item() == pytest.approx(0.6947164093, abs=1e-10)


def test_without_smoothing_it_is_the_loss_as_labeled_and_with_all_of_it_the_flipped_one():
    assert torch.equal(smoothed(CHOSEN, REJECTED, 0.0), bradley_terry_loss(CHOSEN, REJECTED))
    assert torch.equal(smoothed(CHOSEN, REJECTED, 1.0), bradley_terry_loss(REJECTED, CHOSEN))


def test_flipping_twice_changes_nothing_and_a_flipped_pair_costs_minus_log_sigmoid_of_minus_delta():
    delta = CHOSEN - REJECTED
    flipped = bradley_terry_loss(REJECTED, CHOSEN)
    assert torch.equal(flipped, -torch.nn.functional.logsigmoid(-delta))
    assert torch.equal(smoothed(REJECTED, CHOSEN, 1.0), bradley_terry_loss(CHOSEN, REJECTED))


def test_minimizing_the_smoothed_loss_raises_the_chosen_up_to_the_logit_of_the_labels_reliability():
    """The sign: as printed, gradient descent would push it the other way. The minimum is at Δ = log((1 − α)/α)."""
    alpha = 0.1
    at_minimum = torch.tensor([math.log((1 - alpha) / alpha)], dtype=torch.float64)
    for place, sign in ((0.0, -1), (at_minimum.item(), 0), (5.0, 1)):
        chosen = torch.tensor([place], dtype=torch.float64, requires_grad=True)
        smoothed(chosen, torch.zeros(1, dtype=torch.float64), alpha).sum().backward()
        assert chosen.grad.item() == pytest.approx(0.0, abs=1e-12) if sign == 0 else chosen.grad * sign > 0


def test_each_pair_may_have_its_own_smoothing():
    alphas = torch.tensor([0.0, 1.0, 0.5, 0.1], dtype=torch.float64)
    found = smoothed(CHOSEN, REJECTED, alphas)
    each = [smoothed(CHOSEN[i], REJECTED[i], alphas[i].item()).item() for i in range(4)]
    assert found.tolist() == pytest.approx(each, abs=1e-12)
