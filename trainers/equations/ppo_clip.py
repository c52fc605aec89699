"""The two clipped losses of PPO, and their reduction over tokens to a scalar."""

import torch
from torch import Tensor


def policy_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Clipped surrogate of each token, max(−Â ρ, −Â clip(ρ, 1 ± ε)) with ρ = π / π_old.

    Args:
        logprobs: (B, T) of the policy being trained, nats.
        old_logprobs: (B, T) of the policy that sampled, no gradient.
        advantages: (B, T), no gradient.
        clip: ε, half-width of the clipping range of the ratio.

    Returns:
        (B, T) losses; see `token_mean`.

    Source: Schulman et al. 2017 (arXiv:1707.06347), equation 7.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1.0 - clip, 1.0 + clip))


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Clipped regression of each token, ½ max((V − R)², (clip(V, V_old ± ε) − R)²).

    Args:
        values: (B, T) of the value net being trained.
        old_values: (B, T) at the time of the rollout, no gradient.
        returns: (B, T) targets, advantages + old values.
        clip: ε, in the unit of the reward.

    Returns:
        (B, T) losses.

    Source: OpenAI baselines `ppo2`; Dubois et al. 2023 (arXiv:2305.14387), code `rl/ppo_trainer.py`.
    """
    clipped = torch.clamp(values, old_values - clip, old_values + clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)


def token_mean(losses: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """Sum of the losses over real tokens, divided by `tokens`. Scalar.

    Args:
        losses: (B, T).
        mask: (B, T) bool, True on real tokens.
        tokens: the denominator: number of real tokens of the mini-batch ("masked"), or rows x slots ("all_slots",
            AlpacaFarm's `.mean()`, where padding counts in the denominator only).
    """
    return torch.where(mask, losses, 0.0).sum() / tokens
