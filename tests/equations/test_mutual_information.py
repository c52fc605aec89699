"""Jensen-Shannon objective, NWJ and InfoNCE bounds, and which pairs count as false."""

import math

import pytest
import torch

from rlp_bench.trainers.equations.infomax import infomax_loss
from rlp_bench.trainers.equations.mutual_information import (
    contrast,
    infonce_nats,
    jensen_shannon_objective,
    nwj_nats,
)

POSITIVE = torch.tensor([0.3, 0.275, -0.15], dtype=torch.float64)
ROLLED = torch.tensor([-0.025, 0.1, 0.8], dtype=torch.float64)


def test_the_published_scores_of_a_critic():
    assert jensen_shannon_objective(POSITIVE, ROLLED).item() == pytest.approx(-1.4955351965, abs=1e-8)
    assert nwj_nats(POSITIVE, ROLLED).item() == pytest.approx(-0.2936739195, abs=1e-8)


def test_all_false_pairs_or_the_prompt_before():
    # Row i, column j is T(first of i, second of j): 10 i + j tells who is who.
    scores = torch.tensor([[10.0 * i + j for j in range(3)] for i in range(3)])
    positive, negative = contrast(scores)
    assert positive.tolist() == [0, 11, 22]
    assert sorted(negative.tolist()) == [1, 2, 10, 12, 20, 21]
    positive, negative = contrast(scores, "roll")
    assert positive.tolist() == [0, 11, 22]
    assert negative.tolist() == [20, 1, 12]  # second of 0 with first of 2, of 1 with 0, of 2 with 1


def test_a_critic_of_three_prompts_by_loops():
    """Against an independent reference: Deep InfoMax's form of the loss, which lies 2 log 2 below −objective."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    w = torch.tensor([[0.5, -0.25], [0.1, 0.3]], dtype=torch.float64)
    scores = first @ w @ second.T
    e_pos, e_neg, pairs = 0.0, 0.0, 0
    for i in range(5):
        for j in range(5):
            t = float(first[i] @ w @ second[j])
            if i == j:
                e_pos += (math.log(2) - math.log1p(math.exp(-t))) / 5
            else:
                e_neg += math.log1p(math.exp(-t)) + t - math.log(2)
                pairs += 1
    deep_infomax_loss = e_neg / pairs - e_pos
    objective = jensen_shannon_objective(*contrast(scores)).item()
    assert pairs == 20
    assert deep_infomax_loss == pytest.approx(-objective - 2 * math.log(2), abs=1e-12)


def test_a_critic_that_says_nothing():
    zero = torch.zeros(4, 4, dtype=torch.float64)
    assert jensen_shannon_objective(*contrast(zero)).item() == pytest.approx(-2 * math.log(2), abs=1e-12)
    assert nwj_nats(*contrast(zero)).item() == 0.0
    assert infonce_nats(zero).item() == pytest.approx(0.0, abs=1e-12)


def test_the_bounds_are_tight_at_the_log_density_ratio():
    """Two correlated Gaussians: I = −½ log(1 − ρ²) in closed form, T the log of joint over product."""
    rho, n = 0.8, 2000
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(2))
    y = rho * x + math.sqrt(1 - rho**2) * noise
    a, b = x[:, None], y[None, :]
    ratio = (a**2 + b**2) / 2 - (a**2 - 2 * rho * a * b + b**2) / (2 * (1 - rho**2))
    scores = ratio - math.log(1 - rho**2) / 2
    truth = -math.log(1 - rho**2) / 2
    assert nwj_nats(*contrast(scores)).item() == pytest.approx(truth, abs=0.05)
    assert infonce_nats(scores).item() == pytest.approx(truth, abs=0.05)
    assert (
        nwj_nats(*contrast(scores[:, torch.randperm(n, generator=generator)])).item() < 0
    )  # nothing belongs together


def test_info_nce_ignores_row_constants_and_is_at_most_log_b():
    scores = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    shifted = scores + torch.tensor([[1.0], [-5.0], [3.0]])
    assert infonce_nats(shifted).item() == pytest.approx(infonce_nats(scores).item(), abs=1e-9)
    assert infonce_nats(scores).item() < math.log(3)
    assert infonce_nats(10 * scores).item() == pytest.approx(math.log(3), abs=1e-9)


@pytest.mark.parametrize("negatives", ["all", "roll"])
def test_its_gradient_raises_true_scores_and_lowers_only_the_false_ones_that_count(negatives):
    scores = torch.zeros(4, 4, requires_grad=True)
    jensen_shannon_objective(*contrast(scores, negatives)).backward()
    true = torch.eye(4, dtype=torch.bool)
    assert (scores.grad[true] > 0).all()
    assert int((scores.grad < 0).sum()) == (12 if negatives == "all" else 4)
    assert int((scores.grad[~true] > 0).sum()) == 0


def test_info_max_is_the_mean_of_both_views():
    assert infomax_loss(torch.tensor(-1.0), torch.tensor(-0.5)).item() == 0.75
