"""The loss of RLP-UML and the weight of its second term."""

import pytest
import torch

from rlp_bench.trainers.equations.bottleneck_schedule import exponential_weight
from rlp_bench.trainers.equations.multi_view_bottleneck import multi_view_bottleneck_loss


def test_by_hand():
    # −(−1.2) + .5 · (2 + 4)/2 = 2.7
    loss = multi_view_bottleneck_loss(torch.tensor(-1.2), torch.tensor([2.0, 4.0]), 0.5)
    assert loss.item() == pytest.approx(2.7, abs=1e-6)


def test_without_beta_it_is_minus_the_information_to_the_bit():
    information = torch.tensor(-1.2345678)
    assert torch.equal(multi_view_bottleneck_loss(information, torch.tensor([2.0, 4.0]), 0.0), -information)


def test_more_information_and_less_divergence_are_better():
    information, divergence = (
        torch.tensor(-1.0, requires_grad=True),
        torch.tensor([1.0, 2.0], requires_grad=True),
    )
    multi_view_bottleneck_loss(information, divergence).backward()
    assert (information.grad.item(), divergence.grad.tolist()) == (-1.0, [0.5, 0.5])


def test_the_published_schedule():
    expected = {
        0: 0.001, 50: 0.001, 51: 0.00107152, 75: 0.00562341, 100: 0.03162278, 125: 0.17782794, 150: 1.0, 151: 1.0
    }  # fmt: skip
    found = {step: exponential_weight(step, 1e-3, 1.0, start=50, steps=100) for step in expected}
    assert found == pytest.approx(expected, abs=1e-8)
