"""What a token of a rollout is paid."""

import pytest
import torch

from rlp_bench.trainers.equations.kl_estimators import ESTIMATORS
from rlp_bench.trainers.equations.kl_shaped_rewards import kl_shaped_rewards

LOGPROBS = torch.tensor([[-1.0, -0.5, -2.0], [-1.0, 7.0, 7.0]], dtype=torch.float64)
REF_LOGPROBS = torch.tensor([[-1.2, -0.2, -2.5], [-0.4, 0.0, 0.0]], dtype=torch.float64)
MASK = torch.tensor([[True, True, True], [True, False, False]])
SCORES = torch.tensor([1.0, -2.0], dtype=torch.float64)


def test_by_hand_with_both_published_penalties():
    # k1 of the first row: .2, −.3, .5; of the second: −.6, then padding. β = .1.
    found = kl_shaped_rewards(SCORES, ESTIMATORS["k1"](LOGPROBS, REF_LOGPROBS), MASK, 0.1)
    assert found.tolist() == [
        pytest.approx([-0.02, 0.03, 1 - 0.05], abs=1e-12),
        pytest.approx([-2 + 0.06, 0.0, 0.0], abs=1e-12),
    ]
    # AlpacaFarm's clamp: .2, 0, .5 and 0.
    clamped = kl_shaped_rewards(SCORES, ESTIMATORS["clamp"](LOGPROBS, REF_LOGPROBS), MASK, 0.1)
    assert clamped.tolist() == [
        pytest.approx([-0.02, 0.0, 0.95], abs=1e-12),
        pytest.approx([-2.0, 0.0, 0.0], abs=1e-12),
    ]


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "clamp"])
def test_rewards_and_the_kl_that_was_paid_for_sum_to_the_score(estimator):
    torch.manual_seed(0)
    logprobs, ref_logprobs = -torch.rand(2, 6, 9, dtype=torch.float64)
    mask = torch.arange(9) < torch.randint(1, 10, (6, 1))
    scores = torch.randn(6, dtype=torch.float64)
    kl = ESTIMATORS[estimator](logprobs, ref_logprobs)
    rewards = kl_shaped_rewards(scores, kl, mask, 0.3)
    paid = (rewards + 0.3 * torch.where(mask, kl, 0.0)).sum(1)
    assert torch.allclose(paid, scores, rtol=0, atol=1e-12)


def test_free_kl_pays_the_score_alone_and_on_the_last_token():
    found = kl_shaped_rewards(SCORES, LOGPROBS, MASK, 0.0)
    assert found.tolist() == [[0.0, 0.0, 1.0], [-2.0, 0.0, 0.0]]


def test_a_better_score_pays_more_and_a_nat_costs_beta():
    scores, kl = SCORES.clone().requires_grad_(), LOGPROBS.clone().requires_grad_()
    kl_shaped_rewards(scores, kl, MASK, 0.1).sum().backward()
    assert scores.grad.tolist() == [1.0, 1.0]
    assert kl.grad.tolist() == [[-0.1, -0.1, -0.1], [-0.1, 0.0, 0.0]]


def test_what_is_given_stays_as_it_is():
    kl = LOGPROBS.clone()
    kl_shaped_rewards(SCORES, kl, MASK, 0.1)
    assert torch.equal(kl, LOGPROBS)
