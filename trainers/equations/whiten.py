"""Whitening of rewards and advantages: over every slot as in AlpacaFarm, or over real tokens only."""

import torch
from torch import Tensor


def whiten_all_slots(values: Tensor, shift_mean: bool, epsilon: float = 1e-8) -> Tensor:
    """(v − μ) / (s + ε) over all B x T slots, padding included; μ is added back if `shift_mean` is False.

    Args:
        values: (B, T); padding slots hold 0 and are counted.
        shift_mean: False keeps the mean, which adds the constant μ (1 − 1/s) to every slot.

    Returns:
        (B, T). s is the population standard deviation.

    Source: Dubois et al. 2023 (arXiv:2305.14387), code `torch_ops.whiten`.
    """
    mean, std = values.mean(), values.std(unbiased=False)
    whitened = (values - mean) / (std + epsilon)
    return whitened if shift_mean else whitened + mean


def whiten_masked(values: Tensor, mask: Tensor, shift_mean: bool, epsilon: float = 1e-8) -> Tensor:
    """(v − μ) / √(s² + ε) over real tokens; μ is added back if `shift_mean` is False.

    Args:
        values: (B, T).
        mask: (B, T) bool, True on real tokens.
        shift_mean: False keeps the mean, which adds μ (1 − 1/s) to every token, so longer responses get more. Use
            `scale_masked` for rewards.

    Returns:
        (B, T), 0 where the mask is False. s² is the unbiased variance.

    Source: TRL 0.x `masked_whiten`, after Ziegler et al. 2019. A single real token gives 0 (its variance is 0).
    """
    mean, variance = _masked_moments(values, mask)
    whitened = (values - mean) * torch.rsqrt(variance + epsilon)
    return torch.where(mask, whitened if shift_mean else whitened + mean, 0.0)


def scale_masked(values: Tensor, mask: Tensor, epsilon: float = 1e-8) -> Tensor:
    """v / √(s² + ε) over real tokens: unit variance without an offset, so a reward of 0 stays 0 at every length.

    Shapes as in `whiten_masked`. Ours: both published whitenings add a constant per token.
    """
    _, variance = _masked_moments(values, mask)
    return torch.where(mask, values * torch.rsqrt(variance + epsilon), 0.0)


def _masked_moments(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of the values where the mask is True (variance 0 for a single value)."""
    n = mask.sum()
    mean = torch.where(mask, values, 0.0).sum() / n
    squares = torch.where(mask, (values - mean) ** 2, 0.0).sum()
    return mean, squares / torch.clamp(n - 1, min=1)
