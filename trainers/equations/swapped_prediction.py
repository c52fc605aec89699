"""Swapped prediction (SwAV): from one view, predict which prototypes the other view was assigned to."""

from torch import Tensor


def swapped_prediction_loss(
    scores_1: Tensor, scores_2: Tensor, assigned_1: Tensor, assigned_2: Tensor, temperature: float = 0.1
) -> Tensor:
    """−½ Σₖ [q₂ log softmax(s₁/τ) + q₁ log softmax(s₂/τ)] of each prompt.

    Args:
        scores_1, scores_2: (B, K) similarity of each view's feature and K prototypes.
        assigned_1, assigned_2: (B, K) each view's own assignment, rows sum to 1, without gradient.
        temperature: τ.

    Returns:
        (B,) nats; the caller averages. log K where the scores say nothing.

    Source: Caron et al. 2020 (arXiv:2006.09882), eq. 1 and 2, halved as their code does; "CL" in Lang et al. 2024
    (arXiv:2403.19279), table 4.
    """
    first = (assigned_2 * (scores_1 / temperature).log_softmax(-1)).sum(-1)
    second = (assigned_1 * (scores_2 / temperature).log_softmax(-1)).sum(-1)
    return -(first + second) / 2
