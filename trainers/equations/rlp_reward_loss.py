"""What the reward model of RLP minimizes: the preference loss, and what samples of the policy teach beside it."""

from torch import Tensor


def rlp_reward_loss(preference_loss: Tensor | float, auxiliary_loss: Tensor, weight: float) -> Tensor:
    """L = E_{D ∪ D̂}[−log σ(r(x, y_w) − r(x, y_l))] + λ L_M.

    Args:
        preference_loss: scalar, mean over pairs, nats; a number where its gradient is taken elsewhere.
        auxiliary_loss: scalar L_M on unlabeled samples.
        weight: λ ≥ 0. 0 is RLP-SPG, and without synthetic pairs D̂ plain reward modeling.

    Returns:
        Scalar.

    Source: Lang et al. 2024 (arXiv:2403.19279), equation 1, λ = 0.5.
    """
    return preference_loss + weight * auxiliary_loss
