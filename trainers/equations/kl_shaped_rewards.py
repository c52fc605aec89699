"""The reward of every token of a response: the score at its end, and the price of leaving the reference on the way."""

import torch
from torch import Tensor


def kl_shaped_rewards(scores: Tensor, kl: Tensor, mask: Tensor, beta: float) -> Tensor:
    """r_t = −β KL_t, plus the score on the last token.

    Identity: Σ_t r_t + β Σ_t KL_t = score, for every response.

    Args:
        scores: (B,) of whole responses.
        kl: (B, T) estimate of KL(π ‖ π_ref) at each token, nats; see `kl_estimators`.
        mask: (B, T) bool, True on the tokens of a response, which begin in slot 0; at least one each.
        beta: price of a nat, in the unit of the scores.

    Returns:
        (B, T), 0 where the mask is False.

    Source: Ziegler et al. 2019 (arXiv:1909.08593), section 2: R(x, y) = r(x, y) − β log π(y|x) / π_ref(y|x), whose
    second term their code pays token by token.
    """
    rewards = -beta * torch.where(mask, kl, 0.0)
    last = mask.sum(1) - 1
    rewards[torch.arange(len(rewards), device=rewards.device), last] += scores
    return rewards
