"""Best-of-n from N samples."""

import itertools
import math

import pytest
import torch

from rlp_bench.trainers.equations.best_of_n_estimator import best_of_n_mean, best_of_n_value
from rlp_bench.trainers.equations.best_of_n_kl import kl_bound

SCORES = torch.tensor([0.1, 0.5, 0.2, 0.9, -0.3, 0.4], dtype=torch.float64)


def test_best_of_three_of_six():
    # By hand: ascending −.3 .1 .2 .4 .5 .9, weights C(i, 2)/20 = 0 0 1 3 6 10 / 20: (.2 + 1.2 + 3 + 9)/20 = .67.
    assert best_of_n_mean(SCORES, 3).item() == pytest.approx(0.67, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 7))
def test_equals_brute_force_over_all_subsets(n):
    best = [max(subset) for subset in itertools.combinations(SCORES.tolist(), n)]
    assert best_of_n_mean(SCORES, n).item() == pytest.approx(sum(best) / len(best), abs=1e-12)


def test_one_gives_the_mean_and_all_give_the_maximum():
    assert best_of_n_mean(SCORES, 1).item() == pytest.approx(SCORES.mean().item(), abs=1e-12)
    assert best_of_n_mean(SCORES, 6).item() == pytest.approx(0.9, abs=1e-12)


def test_the_winner_may_be_worth_something_else():
    worth = torch.tensor([[5.0, 1.0, 4.0, 0.0, 6.0, 2.0]], dtype=torch.float64)
    subsets = itertools.combinations(range(6), 2)
    expected = [worth[0, max(subset, key=lambda i: SCORES[i])].item() for subset in subsets]
    found = best_of_n_value(SCORES[None], worth, 2)
    assert found.tolist() == pytest.approx([sum(expected) / 15], abs=1e-12)


def test_a_better_sample_never_lowers_the_estimate():
    scores = SCORES.clone().requires_grad_()
    best_of_n_mean(scores, 3).backward()
    assert (scores.grad >= 0).all()
    assert scores.grad.sum().item() == pytest.approx(1)


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="best of 7 from 6"):
        best_of_n_mean(SCORES, 7)


def test_kl_bound():
    # By hand: log 16 − 15/16 = 2.7726 − .9375 = 1.8351.
    assert kl_bound(1) == 0
    assert kl_bound(16) == pytest.approx(1.835, abs=5e-4)
    assert kl_bound(1024) == pytest.approx(5.932, abs=5e-4)
    assert kl_bound(16) < math.log(16)
