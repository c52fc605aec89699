"""InfoMax: maximizes the mutual information between each view and its own representation."""

from torch import Tensor


def infomax_loss(information_1: Tensor, information_2: Tensor) -> Tensor:
    """The InfoMax loss, −½ [I(v₁; z₁) + I(v₂; z₂)].

    Args:
        information_1, information_2: scalars, one for each view. The critic must receive v detached; otherwise the
            scales of v and z grow without bound.

    Returns:
        Scalar.

    Source: Hjelm et al. 2019 (arXiv:1808.06670); an ablation in Lang et al. 2024 (arXiv:2403.19279), table 4.
    """
    return -(information_1 + information_2) / 2
