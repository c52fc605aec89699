"""The reward model's loss in RLP: the preference loss plus an auxiliary loss on samples of the policy."""

from torch import Tensor


def rlp_reward_loss(preference_loss: Tensor | float, auxiliary_loss: Tensor, weight: float) -> Tensor:
    """The total loss, L = E_{D ∪ D̂}[−log σ(r(x, y_w) − r(x, y_l))] + λ L_M.

    Args:
        preference_loss: scalar, mean over pairs, nats; a float if its gradient is computed elsewhere.
        auxiliary_loss: scalar L_M on unlabeled samples.
        weight: λ ≥ 0. 0 is RLP-SPG, or plain reward modeling if there are no synthetic pairs D̂.

    Returns:
        Scalar.

    Source: Lang et al. 2024 (arXiv:2403.19279), equation 1, λ = 0.5.
    """
    return preference_loss + weight * auxiliary_loss
