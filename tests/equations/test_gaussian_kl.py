"""Symmetrised KL of diagonal Gaussians: closed form, one draw, and torch's own."""

import pytest
import torch

from rlp_bench.trainers.equations.gaussian_kl import symmetrized_kl, symmetrized_kl_sample


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


P = row(0.0, 1.0), row(1.0, 0.5)
Q = row(0.5, 0.5), row(0.8, 1.2)


def test_two_dimensions_by_hand():
    # ¼[(1 + .25)/.64 + (.64 + .25)/1 − 2] = .2107813; ¼[(.25 + .25)/1.44 + (1.44 + .25)/.25 − 2] = 1.2768056.
    assert symmetrized_kl(*P, *Q).item() == pytest.approx(1.4875868056, abs=1e-8)


def test_it_equals_torch_distributions_and_is_symmetric():
    generator = torch.Generator().manual_seed(0)
    m1, m2 = (torch.randn(7, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    s1, s2 = (torch.rand(7, 5, generator=generator, dtype=torch.float64) + 0.1 for _ in range(2))
    p, q = torch.distributions.Normal(m1, s1), torch.distributions.Normal(m2, s2)
    kl = torch.distributions.kl_divergence
    theirs = (kl(p, q) + kl(q, p)).sum(-1) / 2
    assert torch.allclose(symmetrized_kl(m1, s1, m2, s2), theirs, atol=1e-10, rtol=1e-10)
    assert torch.equal(symmetrized_kl(m1, s1, m2, s2), symmetrized_kl(m2, s2, m1, s1))


def test_zero_where_both_are_one():
    assert symmetrized_kl(*P, *P).item() == 0.0
    z = row(0.3, -2.0)
    assert symmetrized_kl_sample(*P, *P, z, z).item() == 0.0


def test_one_draw_by_hand():
    # One dimension, p = N(0, 1), q = N(1, 2), z₁ = 1, z₂ = 3.
    # log p(1) − log q(1) = −½ + 0 + log 2; log q(3) − log p(3) = −½ − log 2 + 4.5; half the sum is 1.75.
    drawn = symmetrized_kl_sample(row(0.0), row(1.0), row(1.0), row(2.0), row(1.0), row(3.0))
    assert drawn.item() == pytest.approx(1.75, abs=1e-12)


def test_draws_average_to_the_closed_form():
    generator = torch.Generator().manual_seed(1)
    e1, e2 = (torch.randn(200_000, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    draws = symmetrized_kl_sample(*P, *Q, P[0] + P[1] * e1, Q[0] + Q[1] * e2)
    error = draws.std().item() / len(draws) ** 0.5
    assert draws.std().item() == pytest.approx(2.13, abs=0.05)  # the noise that the closed form spares
    assert draws.mean().item() == pytest.approx(1.4875868056, abs=4 * error)


def test_its_gradient_pulls_the_means_together():
    mean = P[0].clone().requires_grad_()
    symmetrized_kl(mean, P[1], *Q).sum().backward()
    assert torch.equal(mean.grad.sign(), (P[0] - Q[0]).sign())
