"""KL estimators and the adaptive coefficient."""

import pytest
import torch

from rlp_bench.trainers.equations.adaptive_kl import adapted_beta
from rlp_bench.trainers.equations.kl_estimators import ESTIMATORS, clamped_k1, k1, k2, k3

POLICY = torch.tensor([-1.0, -0.5, -2.0], dtype=torch.float64)
REF = torch.tensor([-1.2, -0.2, -2.5], dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("k1", [0.2, -0.3, 0.5]),
        ("clamp", [0.2, 0.0, 0.5]),
        ("k2", [0.02, 0.045, 0.125]),
        # By hand, token 0: ρ = e^−0.2 = .81873075; ρ − 1 − log ρ = .81873075 − 1 + .2 = .01873075.
        ("k3", [0.01873075, 0.04985881, 0.10653066]),
    ],
)
def test_three_tokens(name, expected):
    assert ESTIMATORS[name](POLICY, REF).tolist() == pytest.approx(expected, abs=1e-8)


def test_all_are_zero_where_policy_is_reference():
    for estimator in ESTIMATORS.values():
        assert estimator(POLICY, POLICY).abs().max() == 0


def test_k1_and_k3_are_unbiased_and_the_clamp_is_not():
    """The expectation under the policy, in full, against KL computed from the distributions."""
    policy = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    ref = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    exact = (policy * (policy / ref).log()).sum()
    for estimator in (k1, k3):
        assert (policy * estimator(policy.log(), ref.log())).sum().item() == pytest.approx(
            exact.item(), abs=1e-12
        )
    assert (policy * clamped_k1(policy.log(), ref.log())).sum() > exact + 0.1


def test_gradient_of_k2_pulls_towards_the_reference():
    logprobs = POLICY.clone().requires_grad_()
    k2(logprobs, REF).sum().backward()
    assert torch.equal(logprobs.grad.sign(), (POLICY - REF).sign())


def test_coefficient_follows_alpacafarm():
    # By hand: KL 3 of 6 is −.5, limited to −.2, times .1: .0067 · .98 = .006566; 6.5 of 6 is +.08333: · 1.0083333.
    beta, found = 0.0067, []
    for kl in (3, 6, 9, 6.5, 0):
        beta = adapted_beta(beta, kl, target=6.0)
        found.append(beta)
    assert found == pytest.approx([0.006566, 0.006566, 0.00669732, 0.006753131, 0.0066180684], abs=1e-10)


def test_coefficient_stays_at_the_target_and_grows_above_it():
    assert adapted_beta(0.1, 6.0, 6.0) == 0.1
    assert adapted_beta(0.1, 6.1, 6.0) > 0.1 > adapted_beta(0.1, 5.9, 6.0)
