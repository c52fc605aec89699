"""PPO's losses. Numbers are worked by hand, in plain floats."""

import math

import pytest
import torch

from rlp_bench.trainers.equations.ppo_clip import policy_loss, token_mean, value_loss

CLIP = 0.2
RATIOS = [[1.5, 0.5, 1.1], [0.9, 1.3, 1.0]]
ADVANTAGES = [[1.0, 2.0, -1.0], [-2.0, -1.0, 0.0]]
VALUES = [[0.5, 1.0, -0.4], [0.0, 0.3, 9.0]]
OLD_VALUES = [[0.1, 0.9, 0.0], [0.0, 0.6, 0.0]]
RETURNS = [[1.0, 0.0, -1.0], [0.5, 0.0, 0.0]]
MASK = [[True, True, True], [True, True, False]]

# Policy, by hand: max(−Âρ, −Â clip(ρ)):
#   ρ 1.5 Â 1: max(−1.5, −1.2) = −1.2      ρ .5 Â 2: max(−1, −1.6) = −1       ρ 1.1 Â −1: 1.1
#   ρ .9 Â −2: 1.8                          ρ 1.3 Â −1: max(1.3, 1.2) = 1.3    padding
POLICY = [[-1.2, -1.0, 1.1], [1.8, 1.3, 0.0]]
# Value, by hand: ½ max((V − R)², (clip(V, V_old ± .2) − R)²):
#   V .5 → .3, R 1: max(.25, .49) / 2 = .245    V 1 → 1, R 0: .5    V −.4 → −.2, R −1: max(.36, .64) / 2 = .32
#   V 0, R .5: .125                             V .3 → .4, R 0: max(.09, .16) / 2 = .08    padding
VALUE = [[0.245, 0.5, 0.32], [0.125, 0.08, None]]


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


def losses():
    ratios = tensor(RATIOS)
    return (
        policy_loss(ratios.log() - 3.0, torch.full_like(ratios, -3.0), tensor(ADVANTAGES), CLIP),
        value_loss(tensor(VALUES), tensor(OLD_VALUES), tensor(RETURNS), CLIP),
    )


def test_each_token():
    policy, value = losses()
    assert policy.flatten().tolist() == pytest.approx([x for row in POLICY for x in row], abs=1e-8)
    assert value.flatten()[:5].tolist() == pytest.approx([x for row in VALUE for x in row][:5], abs=1e-8)


def test_masked_and_all_slot_means():
    """Masked mean over 5 real tokens, unmasked one over all 6 slots."""
    mask = torch.tensor(MASK)
    policy, value = losses()
    policy_sum, value_sum = -1.2 - 1.0 + 1.1 + 1.8 + 1.3, 0.245 + 0.5 + 0.32 + 0.125 + 0.08
    assert token_mean(policy, mask, 5).item() == pytest.approx(policy_sum / 5, abs=1e-8)
    assert token_mean(policy, mask, 6).item() == pytest.approx(policy_sum / 6, abs=1e-8)
    assert token_mean(value, mask, 5).item() == pytest.approx(value_sum / 5, abs=1e-8)
    assert token_mean(value, mask, 6).item() == pytest.approx(value_sum / 6, abs=1e-8)


def test_agrees_with_plain_floats_on_random_numbers():
    generator = torch.Generator().manual_seed(0)
    new, old, adv = (torch.randn(50, generator=generator, dtype=torch.float64) for _ in range(3))
    found = policy_loss(new, old, adv, CLIP).tolist()
    for n, o, a, loss in zip(new.tolist(), old.tolist(), adv.tolist(), found, strict=True):
        ratio = math.exp(n - o)
        assert loss == pytest.approx(-min(a * ratio, a * min(max(ratio, 0.8), 1.2)), abs=1e-8)


def test_loss_is_minus_the_advantage_where_nothing_was_learnt_yet():
    advantages = tensor(ADVANTAGES)
    same = torch.zeros_like(advantages)
    assert torch.equal(policy_loss(same, same, advantages, CLIP), -advantages)


def test_gradient_raises_what_did_well_until_the_clip_stops_it():
    logprobs = torch.tensor([0.0, 0.0, 0.3, -0.3], dtype=torch.float64, requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    policy_loss(logprobs, torch.zeros_like(logprobs), advantages, CLIP).sum().backward()
    assert logprobs.grad.sign().tolist() == [-1, 1, 0, 0]


def test_gradient_of_the_value_points_away_from_the_return():
    values = torch.tensor([0.1, -0.1], dtype=torch.float64, requires_grad=True)
    value_loss(values, values.detach().clone(), torch.zeros(2, dtype=torch.float64), CLIP).sum().backward()
    assert values.grad.sign().tolist() == [1, -1]
