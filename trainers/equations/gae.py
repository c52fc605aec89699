"""Generalized advantage estimation over responses of different lengths."""

import torch
from torch import Tensor


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Advantage of every token, Â_t = Σ_k (γλ)^k δ_{t+k} with δ_t = r_t + γ V_{t+1} − V_t.

    Args:
        rewards: (B, T) reward of each token.
        values: (B, T) value *before* token t is chosen, i.e. read at hidden state t − 1.
        mask: (B, T) bool, True on the steps of the episode. Values elsewhere count as 0, so padding has no effect
            and the value after the last step is 0.
        gamma: discount factor in [0, 1].
        gae_lambda: λ in [0, 1]; 1 gives the return minus the value, 0 the one-step TD error.

    Returns:
        (B, T) advantages, 0 where the mask is False. The targets of the value loss are advantages + values.

    Source: Schulman et al. 2016 (arXiv:1506.02438), equation 16.
    """
    values = torch.where(mask, values, 0.0)
    rewards = torch.where(mask, rewards, 0.0)
    advantages = torch.zeros_like(rewards)
    later = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(later)
    for t in range(rewards.shape[1] - 1, -1, -1):
        later = rewards[:, t] + gamma * next_value - values[:, t] + gamma * gae_lambda * later
        next_value = values[:, t]
        advantages[:, t] = later
    return torch.where(mask, advantages, 0.0)
