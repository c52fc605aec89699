"""Rates of every schedule (a schedule that runs too fast, or a warm-up that is ignored)."""

import pytest

from rlp_bench.trainers.equations.learning_rate import learning_rate


def rates(warmup, schedule, steps=10):
    return [learning_rate(step, steps, 1.0, warmup, schedule) for step in range(steps)]


def test_linear_after_two_steps_of_warm_up():
    # By hand: ½, 1, then 1 − k/8.
    assert rates(2, "linear") == pytest.approx([0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_a_share_and_a_number_of_steps_agree():
    assert rates(0.2, "cosine") == rates(2, "cosine")


def test_constant_never_falls_and_cosine_ends_near_zero():
    assert rates(0, "constant") == [1.0] * 10
    cosine = rates(0, "cosine", steps=1000)
    assert cosine[0] == 1.0
    assert cosine[500] == pytest.approx(0.5)
    assert 0 < cosine[-1] < 1e-5


def test_follows_transformers_after_the_warm_up():
    transformers = pytest.importorskip("transformers")
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = transformers.get_cosine_schedule_with_warmup(optimizer, 3, 20)
    for step in range(20):
        if step >= 3:
            assert learning_rate(step, 20, 1.0, 3, "cosine") == pytest.approx(
                theirs.get_last_lr()[0], abs=1e-12
            )
        optimizer.step()
        theirs.step()
