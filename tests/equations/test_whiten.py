"""Whitening, and the length bonus that it may bring."""

import pytest
import torch

from rlp_bench.trainers.equations.gae import generalized_advantages
from rlp_bench.trainers.equations.whiten import scale_masked, whiten_all_slots, whiten_masked

LENGTHS = [1, 2, 3, 4, 1, 2, 3, 4]
SCORES = [1.0, 2.0, 3.0, 4.0, -1.0, 0.0, 0.5, 2.5]


def case():
    """8 responses, 4 slots, the score on the last token."""
    rewards = torch.zeros(8, 4, dtype=torch.float64)
    for row, (length, score) in enumerate(zip(LENGTHS, SCORES, strict=True)):
        rewards[row, length - 1] = score
    return rewards, torch.arange(4) < torch.tensor(LENGTHS)[:, None]


def test_alpacafarm_over_all_slots():
    # By hand: μ = 12/32 = .375, s² = 37.5/32 − .140625 = 1.03125; a zero becomes μ(1 − 1/s) = .00572553.
    rewards, _ = case()
    whitened = whiten_all_slots(rewards, shift_mean=False)
    assert whitened[0, 1:].tolist() == pytest.approx([0.0057255307] * 3, abs=1e-8)
    found = [whitened[row, LENGTHS[row] - 1].item() for row in range(4)]
    assert found == pytest.approx([0.99045745, 1.97518937, 2.95992129, 3.9446532], abs=1e-8)


def test_over_real_tokens():
    # By hand: 20 real tokens, μ = 12/20 = .6, s² = (37.5 − 20 · .36)/19 = 1.5947368.
    rewards, mask = case()
    assert rewards[mask].mean().item() == pytest.approx(0.6)
    assert rewards[mask].var().item() == pytest.approx(1.594736842, abs=1e-9)
    whitened = whiten_masked(rewards, mask, shift_mean=False)
    assert whitened[1, 0].item() == pytest.approx(0.1248762553, abs=1e-8)
    assert whitened.sum(1)[:4].tolist() == pytest.approx([0.91675, 1.83350, 2.75025, 3.66700], abs=1e-5)
    assert whitened[~mask].abs().max() == 0


def test_shifting_the_mean_gives_mean_zero_and_spread_one():
    rewards, mask = case()
    for whitened in (whiten_all_slots(rewards, True).flatten(), whiten_masked(rewards, mask, True)[mask]):
        assert whitened.mean().item() == pytest.approx(0, abs=1e-12)
        assert whitened.var(unbiased=whitened.numel() == 20).item() == pytest.approx(1, abs=1e-6)


def test_scaling_keeps_zero_at_zero():
    rewards, mask = case()
    scaled = scale_masked(rewards, mask)
    assert scaled[rewards == 0].abs().max() == 0
    assert scaled[mask].var().item() == pytest.approx(1, abs=1e-6)


def return_of_zero_rewards(whiten, counted_slots):
    """First-token return of two trajectories of reward 0, of 1 and of 4 tokens, beside the eight others."""
    rewards, mask = case()
    rewards = torch.cat([rewards, torch.zeros(2, 4, dtype=torch.float64)])
    mask = torch.cat([mask, torch.arange(4) < torch.tensor([[1], [4]])])
    counted = torch.ones_like(mask) if counted_slots == "all" else mask
    advantages = generalized_advantages(whiten(rewards, mask), torch.zeros_like(rewards), counted, 1.0, 1.0)
    return advantages[-2:, 0].tolist()


def test_length_earns_nothing_by_scaling_nor_over_all_slots_but_does_over_real_tokens():
    short, long = return_of_zero_rewards(lambda r, m: scale_masked(r, m), "real")
    assert short == long == 0
    short, long = return_of_zero_rewards(lambda r, m: whiten_all_slots(r, False), "all")
    assert short == pytest.approx(long, abs=1e-12)
    short, long = return_of_zero_rewards(lambda r, m: whiten_masked(r, m, False), "real")
    assert long == pytest.approx(4 * short, abs=1e-12)
    assert abs(short) > 0.01


def test_gradient_of_scaling_has_the_sign_of_what_it_scales():
    rewards, mask = case()
    small = scale_masked(rewards, mask)
    assert torch.equal(small.sign(), rewards.sign())
