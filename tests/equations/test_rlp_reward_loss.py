"""Equation 1 of RLP: the preference loss and what samples of the policy teach beside it."""

import pytest
import torch

from rlp_bench.trainers.equations.bradley_terry import bradley_terry_loss
from rlp_bench.trainers.equations.multi_view_bottleneck import multi_view_bottleneck_loss
from rlp_bench.trainers.equations.rlp_reward_loss import rlp_reward_loss

CHOSEN = torch.tensor([1.2, -0.3, 0.8, 2.0], dtype=torch.float64)
REJECTED = torch.tensor([0.7, 0.1, 1.5, -1.0], dtype=torch.float64)


def test_by_hand_from_the_golden_numbers_of_its_parts():
    # Bradley-Terry .6347164093; L_M = 1.4955351965 + 1.4875868056 = 2.9831220021; λ = .5.
    information = torch.tensor(-1.4955351965, dtype=torch.float64)
    auxiliary = multi_view_bottleneck_loss(information, torch.tensor([1.4875868056], dtype=torch.float64))
    found = rlp_reward_loss(bradley_terry_loss(CHOSEN, REJECTED).mean(), auxiliary, 0.5)
    assert found.item() == pytest.approx(0.6347164093 + 0.5 * 2.9831220021, abs=1e-8)


def test_without_weight_it_is_the_preference_loss_to_the_bit():
    preference = bradley_terry_loss(CHOSEN, REJECTED).mean()
    assert torch.equal(rlp_reward_loss(preference, torch.tensor(3.7, dtype=torch.float64), 0.0), preference)


def test_both_terms_are_to_fall_the_second_with_its_weight():
    preference, auxiliary = (torch.tensor(value, requires_grad=True) for value in (0.7, 3.0))
    rlp_reward_loss(preference, auxiliary, 0.25).backward()
    assert (preference.grad.item(), auxiliary.grad.item()) == (1.0, 0.25)


def test_gradients_taken_one_after_the_other_are_those_of_the_sum():
    """So the loop does it: the pairs first, then the rest with a number in their place."""
    shared = torch.tensor([0.3, -1.1], dtype=torch.float64, requires_grad=True)

    def losses():
        return (shared**2).sum(), torch.exp(shared).sum()

    rlp_reward_loss(*losses(), 0.5).backward()
    together = shared.grad.clone()
    shared.grad = None
    losses()[0].backward()
    rlp_reward_loss(0.0, losses()[1], 0.5).backward()
    assert torch.allclose(shared.grad, together, rtol=0, atol=1e-15)
