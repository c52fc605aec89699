"""Sinkhorn-Knopp: soft assignments of rows to prototypes that are approximately balanced over the prototypes."""

import torch
from torch import Tensor


@torch.no_grad()
def sinkhorn_assignments(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """exp(scores / ε) with its columns and rows normalized in turn. No gradient.

    Args:
        scores: (N, K) similarity of N features and K prototypes.
        epsilon: entropic regularization; smaller values give harder assignments.
        iterations: 3 do not fully balance the columns; with many, each column sums to N / K.

    Returns:
        (N, K), every row sums to 1.

    Source: Caron et al. 2020 (arXiv:2006.09882), eq. 3 to 5 and their code; Cuturi 2013 (arXiv:1306.0895). Departs:
    the largest score is subtracted first against overflow; it cancels in the normalization.
    """
    weights = ((scores - scores.max()) / epsilon).exp()
    for _ in range(iterations):
        weights = weights / (weights.sum(0) * weights.shape[1])
        weights = weights / (weights.sum(1, keepdim=True) * len(weights))
    return weights * len(weights)
