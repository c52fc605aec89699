"""Preference strength: how far several reward models, trained on the same pairs, tell a pair's responses apart."""

import torch
from torch import Tensor


def preference_strength(differences: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over M models of each pair's difference d = r(x, y_w) − r(x, y_l).

    Args:
        differences: (M, P) d of M models on P pairs.

    Returns:
        (P,) means μ̂, below 0 where the models tend to prefer the rejected response, and (P,) population standard
        deviations σ̂ (divided by M), in the unit of the rewards.

    Source: Wang et al. 2024 (arXiv:2401.06080), equation 4, M = 10.
    """
    return differences.mean(0), differences.std(0, unbiased=False)


def unit_spread(differences: Tensor) -> Tensor:
    """Each model's differences divided by their population standard deviation over the pairs.

    Args:
        differences: (M, P) or (P,).

    Returns:
        The same shape; a model whose differences are all equal keeps them.

    Source: ours. Bradley-Terry determines the scale of a reward model only by how well it fits, so that the mean over
    models weighs them by their scale.
    """
    spread = differences.std(-1, unbiased=False, keepdim=True)
    return differences / torch.where(spread > 0, spread, 1.0)


def wrong_labels(strength: Tensor, lowest: float | None = None) -> Tensor:
    """Which pairs' labels are taken to be wrong: those of negative strength, or the lowest share of all.

    Args:
        strength: (P,) preference strength μ̂.
        lowest: share q in [0, 1] of the pairs with the lowest strength, ⌊q P⌋ pairs, ties in the order given; None:
            every pair whose strength is below 0.

    Returns:
        (P,) bool.

    Source: Wang et al. 2024 (arXiv:2401.06080), section 2.2: "flip"; the lowest 10 or 20 % in figures 5 to 7.
    """
    if lowest is None:
        return strength < 0
    wrong = torch.zeros(len(strength), dtype=torch.bool)
    wrong[strength.argsort(stable=True)[: int(lowest * len(strength) + 1e-9)]] = True
    return wrong
