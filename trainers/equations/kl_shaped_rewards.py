"""Per-token rewards of a response: a KL penalty on every token, and the reward model's score on the last one."""

import torch
from torch import Tensor


def kl_shaped_rewards(scores: Tensor, kl: Tensor, mask: Tensor, beta: float) -> Tensor:
    """r_t = −β KL_t, plus the score on the last token.

    Identity: Σ_t r_t + β Σ_t KL_t = score, for every response.

    Args:
        scores: (B,) of whole responses.
        kl: (B, T) estimate of KL(π ‖ π_ref) at each token, nats; see `kl_estimators`.
        mask: (B, T) bool, True on response tokens, which start at index 0; at least one per row.
        beta: KL coefficient, in units of the score per nat.

    Returns:
        (B, T), 0 where the mask is False.

    Source: Ziegler et al. 2019 (arXiv:1909.08593), section 2: R(x, y) = r(x, y) − β log π(y|x) / π_ref(y|x); their
    code applies the second term per token.
    """
    rewards = -beta * torch.where(mask, kl, 0.0)
    last = mask.sum(1) - 1
    rewards[torch.arange(len(rewards), device=rewards.device), last] += scores
    return rewards
