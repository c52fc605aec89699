"""Sinkhorn's assignments and SwAV's swapped prediction."""

import math

import pytest
import torch

from rlp_bench.trainers.equations.sinkhorn import sinkhorn_assignments
from rlp_bench.trainers.equations.swapped_prediction import swapped_prediction_loss

SCORES = torch.tensor(
    [[0.9, 0.1, -0.3], [0.2, 0.8, 0.1], [0.0, 0.3, 0.7], [0.6, 0.5, -0.1]], dtype=torch.float64
)


def by_loops(scores, epsilon, iterations):
    """SwAV's published form: prototypes in rows, no maximum subtracted, in plain Python."""
    n, k = scores.shape
    q = [[math.exp(scores[i, j].item() / epsilon) for i in range(n)] for j in range(k)]
    total = sum(map(sum, q))
    q = [[value / total for value in row] for row in q]
    for _ in range(iterations):
        q = [[value / sum(row) / k for value in row] for row in q]
        columns = [sum(row[i] for row in q) for i in range(n)]
        q = [[row[i] / columns[i] / n for i in range(n)] for row in q]
    return torch.tensor([[q[j][i] * n for j in range(k)] for i in range(n)], dtype=torch.float64)


def test_the_published_sums_after_three_iterations():
    found = sinkhorn_assignments(SCORES)
    assert found.sum(1).tolist() == pytest.approx([1.0] * 4, abs=1e-12)
    assert found.sum(0).tolist() == pytest.approx([1.499987, 1.499968, 1.000045], abs=1e-6)


def test_many_iterations_balance():
    assert sinkhorn_assignments(SCORES, iterations=50).sum(0).tolist() == pytest.approx([4 / 3] * 3, abs=2e-4)


@pytest.mark.parametrize("iterations", [1, 3, 10])
def test_it_equals_the_published_form(iterations):
    found = sinkhorn_assignments(SCORES, 0.05, iterations)
    assert torch.allclose(found, by_loops(SCORES, 0.05, iterations), atol=1e-12, rtol=0)


def test_large_scores_do_not_overflow():
    found = sinkhorn_assignments(SCORES.float() + 100)
    assert torch.allclose(found.double(), sinkhorn_assignments(SCORES), atol=1e-3, rtol=0)


def test_one_prompt_by_hand():
    # τ = 1: log softmax of (0, log 3) is (log ¼, log ¾), of (0, 0) is log ½ twice.
    # −½ [q₂ · (log ¼, log ¾) + q₁ · (log ½, log ½)] with q₂ = (0, 1), q₁ = (½, ½): −½ [log ¾ + log ½].
    scores_1, scores_2 = torch.tensor([[0.0, math.log(3)]]), torch.zeros(1, 2)
    assigned_1, assigned_2 = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0]])
    loss = swapped_prediction_loss(scores_1, scores_2, assigned_1, assigned_2, temperature=1.0)
    assert loss.item() == pytest.approx(-0.5 * (math.log(0.75) + math.log(0.5)), abs=1e-6)


def test_views_may_change_places():
    assigned = sinkhorn_assignments(SCORES), sinkhorn_assignments(SCORES.flip(0))
    one = swapped_prediction_loss(SCORES, SCORES.flip(0), *assigned)
    two = swapped_prediction_loss(SCORES.flip(0), SCORES, *assigned[::-1])
    assert torch.allclose(one, two, atol=1e-12, rtol=0)


def test_scores_that_say_nothing_cost_log_k_and_the_gradient_follows_the_other_views_assignment():
    scores = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    assigned = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
    loss = swapped_prediction_loss(
        scores, torch.zeros(4, 3, dtype=torch.float64), assigned.roll(1, 1), assigned
    )
    assert loss.tolist() == pytest.approx([math.log(3)] * 4, abs=1e-12)
    loss.sum().backward()
    assert torch.equal(scores.grad < 0, assigned.bool())


def test_assignments_have_no_gradient():
    assert not sinkhorn_assignments(SCORES.clone().requires_grad_()).requires_grad
