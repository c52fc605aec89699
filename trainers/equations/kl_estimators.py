"""Per-token estimates of KL(policy ‖ ref) from tokens sampled by the policy."""

import torch
from torch import Tensor


def k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """log π − log π_ref: unbiased, may be negative. Same shape as the inputs, nats. Source: Schulman 2020, "k1"."""
    return logprobs - ref_logprobs


def k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """½ (log π − log π_ref)²: biased, low variance, never negative. Source: Schulman 2020, "k2"."""
    return 0.5 * (logprobs - ref_logprobs) ** 2


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """ρ − 1 − log ρ with ρ = π_ref / π: unbiased and never negative. Source: Schulman 2020, "k3"."""
    log_rho = ref_logprobs - logprobs
    return torch.expm1(log_rho) - log_rho


def clamped_k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """max(0, log π − log π_ref): AlpacaFarm's per-token penalty, biased upwards.

    Source: Dubois et al. 2023 (arXiv:2305.14387), code `rl/ppo_trainer.py`. Its coefficients are not comparable with
    those of k1.
    """
    return torch.clamp(logprobs - ref_logprobs, min=0.0)


ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3, "clamp": clamped_k1}
"""Estimators by the name used in settings."""
