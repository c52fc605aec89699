"""Generalised advantages."""

import pytest
import torch

from rlp_bench.trainers.equations.gae import generalized_advantages

REWARDS = [0.0, -0.1, 0.2, 1.0]
VALUES = [0.5, 0.4, 0.3, 0.2]


def advantages(rewards, values, mask, gamma, lam):
    tensors = (torch.tensor([row], dtype=torch.float64) for row in (rewards, values))
    return generalized_advantages(*tensors, torch.tensor([mask]), gamma, lam)[0].tolist()


@pytest.mark.parametrize(
    ("gamma", "lam", "expected"),
    [
        # By hand, (1, 1): return minus value; last 1 − .2 = .8, then 1.2 − .3 = .9, 1.1 − .4 = .7, 1.1 − .5 = .6.
        (1.0, 1.0, [0.6, 0.7, 0.9, 0.8]),
        (1.0, 0.95, [0.48615, 0.617, 0.86, 0.8]),
        (0.99, 0.9, [0.35880571, 0.5194228, 0.8108, 0.8]),
    ],
)
def test_four_steps(gamma, lam, expected):
    assert advantages(REWARDS, VALUES, [True] * 4, gamma, lam) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.99, 0.9), (0.7, 0.0), (1.0, 0.95)])
def test_equals_the_double_sum_that_defines_it(gamma, lam):
    after = [*VALUES[1:], 0.0]
    deltas = [r + gamma * n - v for r, n, v in zip(REWARDS, after, VALUES, strict=True)]
    expected = [
        sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(deltas))) for t in range(len(deltas))
    ]
    assert advantages(REWARDS, VALUES, [True] * 4, gamma, lam) == pytest.approx(expected, abs=1e-12)


def test_values_in_the_padding_do_not_leak():
    """Whatever the value net says of padding, real tokens keep their advantages."""
    mask = [True] * 4 + [False] * 2
    clean = advantages([*REWARDS, 0, 0], [*VALUES, 0, 0], mask, 1.0, 0.95)
    dirty = advantages([*REWARDS, 0, 0], [*VALUES, 1e6, 1e6], mask, 1.0, 0.95)
    assert dirty == clean
    assert dirty[:4] == pytest.approx([0.48615, 0.617, 0.86, 0.8], abs=1e-8)


def test_a_larger_reward_raises_every_advantage_before_it_and_none_after():
    more = [0.0, -0.1, 1.2, 1.0]
    before, after = (advantages(r, VALUES, [True] * 4, 1.0, 0.95) for r in (REWARDS, more))
    assert [b < a for b, a in zip(before, after, strict=True)] == [True, True, True, False]
