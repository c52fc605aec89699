"""Swapped prediction (SwAV): predict the prototype assignment of one view from the other view."""

from torch import Tensor


def swapped_prediction_loss(
    scores_1: Tensor, scores_2: Tensor, assigned_1: Tensor, assigned_2: Tensor, temperature: float = 0.1
) -> Tensor:
    """The loss of each prompt, −½ Σₖ [q₂ log softmax(s₁/τ) + q₁ log softmax(s₂/τ)].

    Args:
        scores_1, scores_2: (B, K) similarity of each view's feature and K prototypes.
        assigned_1, assigned_2: (B, K) assignment of each view, rows sum to 1, no gradient.
        temperature: τ.

    Returns:
        (B,) nats; the caller averages. log K if all scores are equal.

    Source: Caron et al. 2020 (arXiv:2006.09882), eq. 1 and 2, halved as their code does; "CL" in Lang et al. 2024
    (arXiv:2403.19279), table 4.
    """
    first = (assigned_2 * (scores_1 / temperature).log_softmax(-1)).sum(-1)
    second = (assigned_1 * (scores_2 / temperature).log_softmax(-1)).sum(-1)
    return -(first + second) / 2
