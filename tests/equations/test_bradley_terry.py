"""The Bradley-Terry loss."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from rlp_bench.trainers.equations.bradley_terry import bradley_terry_loss, preference_accuracy

CHOSEN = torch.tensor([1.2, -0.3, 0.8, 2.0], dtype=torch.float64)
REJECTED = torch.tensor([0.7, 0.1, 1.5, -1.0], dtype=torch.float64)


def test_losses_of_four_pairs():
    # By hand, pair 0: Δ = 1.2 − 0.7 = 0.5; log(1 + e^−0.5) = log 1.60653066 = 0.47407698.
    losses = bradley_terry_loss(CHOSEN, REJECTED)
    assert losses.tolist() == pytest.approx([0.47407698, 0.91301525, 1.10318605, 0.04858735], abs=1e-8)
    assert losses.mean().item() == pytest.approx(0.6347164093, abs=1e-10)


def test_log_two_where_both_rewards_are_equal():
    assert bradley_terry_loss(CHOSEN, CHOSEN).tolist() == pytest.approx([math.log(2)] * 4, abs=1e-12)


@pytest.mark.parametrize("first_is_chosen", [True, False])
def test_equals_binary_cross_entropy_of_alpacafarm_for_both_label_orders(first_is_chosen):
    """BCE-with-logits(r1 − r0, choice), whichever place the preferred response has."""
    r0, r1 = (CHOSEN, REJECTED) if first_is_chosen else (REJECTED, CHOSEN)
    choice = torch.full_like(r0, 0.0 if first_is_chosen else 1.0)
    theirs = binary_cross_entropy_with_logits(r1 - r0, choice, reduction="none")
    assert torch.allclose(theirs, bradley_terry_loss(CHOSEN, REJECTED), rtol=0, atol=1e-12)


def test_gradient_pulls_the_chosen_up_and_the_rejected_down():
    chosen, rejected = CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_()
    bradley_terry_loss(chosen, rejected).sum().backward()
    assert (chosen.grad < 0).all()
    assert (rejected.grad > 0).all()


def test_a_badly_misranked_pair_keeps_its_gradient():
    """Where log(σ + 1e-5) saturates at 11.5 with a gradient of −2e-4."""
    chosen = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    loss = bradley_terry_loss(chosen, torch.zeros_like(chosen))
    loss.sum().backward()
    assert loss.item() == pytest.approx(20.0, abs=1e-8)
    assert chosen.grad.item() == pytest.approx(-1.0, abs=1e-8)


def test_accuracy_counts_a_tie_as_one_half():
    accuracy = preference_accuracy(torch.tensor([1.0, 0.0, 2.0, 5.0]), torch.tensor([0.0, 1.0, 2.0, 4.0]))
    assert accuracy.item() == 2.5 / 4
