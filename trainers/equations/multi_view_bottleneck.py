"""Multi-view information bottleneck: keep the information shared by two views of a prompt, discard the rest."""

from torch import Tensor


def multi_view_bottleneck_loss(information: Tensor, divergence: Tensor, beta: float = 1.0) -> Tensor:
    """The bottleneck loss, L_M = E[−I(z₁; z₂) + β D_SKL(p(z₁|v₁) ‖ p(z₂|v₂))].

    Args:
        information: scalar, an estimate or bound of I(z₁; z₂) that can be maximized (Jensen-Shannon).
        divergence: (B,) symmetrized KL of the two encodings of each prompt, nats.
        beta: weight of the divergence. The paper's formula has no weight, so 1; 0 is its ablation MVI.

    Returns:
        Scalar, mean over prompts.

    Source: Lang et al. 2024 (arXiv:2403.19279), section 3.1; Federici et al. 2020 (arXiv:2002.07017), eq. 4.
    """
    return -information + beta * divergence.mean()
