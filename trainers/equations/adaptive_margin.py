"""Adaptive margin: a pair has to be separated by as much as its preference is strong."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def adaptive_margin_loss(chosen_rewards: Tensor, rejected_rewards: Tensor, margin: Tensor) -> Tensor:
    """The loss of each preference, −log σ(r_w − r_l − m).

    Args:
        chosen_rewards, rejected_rewards: (B,) rewards of both responses.
        margin: (B,) m, in units of the reward. Negative values relax a pair; with the two responses exchanged the
            margin is −m. 0 is the Bradley-Terry loss.

    Returns:
        (B,) losses in nats; the caller averages. log 2 where the rewards differ by exactly m.

    Source: Wang et al. 2024 (arXiv:2401.06080), equation 6. Departs: printed with the margin outside the logistic,
    where it has no gradient; it belongs inside.
    """
    return -logsigmoid(chosen_rewards - rejected_rewards - margin)


def adaptive_margin(strength: Tensor, scale: float = 1.0, clip: float | None = None) -> Tensor:
    """The margin of each pair, s μ̂ limited to [−c, c].

    Args:
        strength: (P,) preference strength μ̂, mean difference of the rewards of several models.
        scale: s. 1: the strength itself, as in the paper.
        clip: c ≥ 0; None: no limit, as in the paper.

    Returns:
        (P,) margins.

    Source: Wang et al. 2024 (arXiv:2401.06080), equation 6. `scale` and `clip` are ours: the margin's unit is that of
    other models' rewards, whose scale Bradley-Terry leaves free.
    """
    margin = scale * strength
    return margin if clip is None else margin.clamp(-clip, clip)
