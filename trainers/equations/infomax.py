"""InfoMax: a representation that keeps as much as it can of the very view it was made from."""

from torch import Tensor


def infomax_loss(information_1: Tensor, information_2: Tensor) -> Tensor:
    """−½ [I(v₁; z₁) + I(v₂; z₂)].

    Args:
        information_1, information_2: scalars, one for each view. The critic that gave them must have seen v without
            its gradient, or v and z grow together without end.

    Returns:
        Scalar.

    Source: Hjelm et al. 2019 (arXiv:1808.06670); an ablation in Lang et al. 2024 (arXiv:2403.19279), table 4.
    """
    return -(information_1 + information_2) / 2
