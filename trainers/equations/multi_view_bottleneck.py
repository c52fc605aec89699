"""Multi-view information bottleneck: keep what two views of one prompt share, drop what only one of them has."""

from torch import Tensor


def multi_view_bottleneck_loss(information: Tensor, divergence: Tensor, beta: float = 1.0) -> Tensor:
    """L_M = E[−I(z₁; z₂) + β D_SKL(p(z₁|v₁) ‖ p(z₂|v₂))].

    Args:
        information: scalar, an estimate or bound of I(z₁; z₂) that can be maximised (Jensen-Shannon).
        divergence: (B,) symmetrised KL of the two encodings of each prompt, nats.
        beta: weight of the divergence. The paper's formula shows none, so 1; 0 is its ablation MVI.

    Returns:
        Scalar, mean over prompts.

    Source: Lang et al. 2024 (arXiv:2403.19279), section 3.1; Federici et al. 2020 (arXiv:2002.07017), eq. 4.
    """
    return -information + beta * divergence.mean()
