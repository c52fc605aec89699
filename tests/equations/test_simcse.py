"""SimCSE's loss."""

import math

import pytest
import torch

from rlp_bench.trainers.equations.simcse import simcse_loss

FIRST = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
SECOND = torch.tensor([[0.9, 0.1], [0.2, 1.0], [0.5, 1.0]], dtype=torch.float64)


def test_the_loss_of_three_texts():
    # Text 0: cosines .99388373, .19611614, .44721360; τ = .05 makes them 19.877675, 3.922323, 8.944272:
    # log(1 + e^−15.955 + e^−10.933) = 1.79e-5.
    losses = simcse_loss(FIRST, SECOND)
    assert losses[0].item() == pytest.approx(1.797e-5, abs=1e-7)
    assert losses.mean().item() == pytest.approx(0.0960580739, abs=1e-10)


def test_the_length_of_a_feature_does_not_count():
    assert torch.allclose(simcse_loss(3 * FIRST, 0.1 * SECOND), simcse_loss(FIRST, SECOND), atol=1e-12)


def test_equal_features_cost_log_n_and_opposite_ones_are_told_apart():
    same = torch.ones(5, 3, dtype=torch.float64)
    assert simcse_loss(same, same).tolist() == pytest.approx([math.log(5)] * 5)
    pair = torch.tensor([[1.0, 2.0], [-1.0, -2.0]], dtype=torch.float64)
    assert simcse_loss(pair, pair).max() < 1e-12


def test_gradient_pulls_a_texts_views_together_and_pushes_other_texts_away():
    between = torch.tensor([[0.7, 0.7], [0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    simcse_loss(between, SECOND[:2], temperature=1.0)[0].backward()
    before, moved = between.detach()[0], (between - 0.1 * between.grad).detach()[0]
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(moved, SECOND[0], dim=0) > cosine(before, SECOND[0], dim=0)
    assert cosine(moved, SECOND[1], dim=0) < cosine(before, SECOND[1], dim=0)
