"""Mismatch of log-probabilities: by hand, padding, not a number."""

import math

import pytest
import torch

from rlp_bench.trainers.equations.logprob_mismatch import logprob_mismatch


def test_by_hand_over_response_tokens_only():
    # |-1 + 1.5| = .5, |-2 + 1.75| = .25; the third is no response token.
    sampler, learner = torch.tensor([[-1.0, -2.0, 0.0]]), torch.tensor([[-1.5, -1.75, 9.0]])
    mean, largest = logprob_mismatch(sampler, learner, torch.tensor([[True, True, False]]))
    assert (mean.item(), largest.item()) == (pytest.approx(0.375), pytest.approx(0.5))


def test_zero_where_both_are_one():
    same = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert [float(x) for x in logprob_mismatch(same, same, torch.ones(3, 4, dtype=torch.bool))] == [0.0, 0.0]


def test_what_is_not_a_number_stays_none():
    bad = torch.tensor([[float("nan"), -1.0]])
    mean, _ = logprob_mismatch(bad, torch.tensor([[-1.0, -1.0]]), torch.ones(1, 2, dtype=torch.bool))
    assert math.isnan(mean)
