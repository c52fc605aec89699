"""MetaRM's difference objective, and its first-order step on a linear reward."""

import pytest
import torch

from rlp_bench.trainers.equations.bradley_terry import bradley_terry_loss
from rlp_bench.trainers.equations.difference_objective import difference_objective, normalized_difference

WEIGHTS = torch.tensor([0.5, -0.3], dtype=torch.float64)
RESPONSES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 2.0]], dtype=torch.float64)
CHOSEN = torch.tensor([[1.0, 0.2], [0.3, -0.5]], dtype=torch.float64)
REJECTED = torch.tensor([[0.4, 0.1], [0.6, 0.9]], dtype=torch.float64)


def test_the_objective_of_three_responses_by_hand():
    # Rewards .5, −.3, −.35: differences .8, .85, .05; σ = .68997448, .70056714, .51249740; sum 1.90303902 · 2/9.
    value = difference_objective((RESPONSES @ WEIGHTS)[None])
    assert value.item() == pytest.approx(0.4228975600, abs=1e-9)


def test_two_parameters_one_first_order_step():
    """Equations 12 to 14 with η = .1 and α = .2, on a reward that is linear in two parameters."""
    weights = WEIGHTS.clone().requires_grad_()
    [ascent] = torch.autograd.grad(difference_objective((RESPONSES @ weights)[None]).mean(), weights)
    assert ascent.tolist() == pytest.approx([0.04308316, -0.1962887], abs=1e-7)
    ahead = (WEIGHTS + 0.1 * ascent).requires_grad_()
    assert ahead.tolist() == pytest.approx([0.50430832, -0.31962887], abs=1e-7)
    [descent] = torch.autograd.grad(bradley_terry_loss(CHOSEN @ ahead, REJECTED @ ahead).mean(), ahead)
    assert descent.tolist() == pytest.approx([-0.06585287, 0.27690503], abs=1e-7)
    assert (WEIGHTS - 0.2 * descent).tolist() == pytest.approx([0.51317057, -0.35538101], abs=1e-7)


@pytest.mark.parametrize("k", [2, 4, 10])
def test_bounds_are_reached_where_all_rewards_are_equal_and_where_they_are_far_apart(k):
    equal, apart = torch.zeros(1, k, dtype=torch.float64), torch.arange(k, dtype=torch.float64)[None] * 100
    assert difference_objective(equal).item() == pytest.approx((1 - 1 / k) / 2, abs=1e-12)
    assert difference_objective(apart).item() == pytest.approx(1 - 1 / k, abs=1e-12)
    for scores, value in ((equal, 0.0), (apart, 1.0)):
        assert normalized_difference(difference_objective(scores), k).item() == pytest.approx(
            value, abs=1e-12
        )


def test_a_constant_and_the_order_of_the_responses_change_nothing():
    scores = torch.tensor([[0.1, 0.9, -0.4], [2.0, 0.0, 0.3]], dtype=torch.float64)
    value = difference_objective(scores)
    assert torch.allclose(difference_objective(scores + 5), value, atol=1e-12)
    assert torch.allclose(difference_objective(scores.flip(1)), value, atol=1e-12)


def test_ascent_moves_rewards_apart_and_equal_ones_not_at_all():
    scores = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    difference_objective(scores).sum().backward()
    assert scores.grad[0, 0] > 0
    assert scores.grad[0, 1] == scores.grad[0, 2] < 0
    equal = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    difference_objective(equal).sum().backward()
    assert not equal.grad.any()
