"""Bradley-Terry: the probability that a response is preferred is the sigmoid of the difference of two rewards."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_loss(chosen_rewards: Tensor, rejected_rewards: Tensor) -> Tensor:
    """Negative log-likelihood of each preference, −log σ(r_w − r_l).

    Args:
        chosen_rewards: (B,) reward of the preferred response, any unit; a constant added to both rewards cancels.
        rejected_rewards: (B,) reward of the other response.

    Returns:
        (B,) losses in nats; the caller averages. log 2 where the two rewards are equal.

    Source: Bradley and Terry 1952; Ouyang et al. 2022 (arXiv:2203.02155), equation 1 with K = 2. Computed as
    log-sigmoid, so that the gradient of a badly misranked pair tends to −1 (with MOSS-RLHF's log(σ + 1e-5) it
    vanishes).
    """
    return -logsigmoid(chosen_rewards - rejected_rewards)


def preference_accuracy(chosen_rewards: Tensor, rejected_rewards: Tensor) -> Tensor:
    """Fraction of pairs whose preferred response has the larger reward; a tie counts one half. Scalar in [0, 1]."""
    margin = chosen_rewards - rejected_rewards
    return ((margin > 0).to(torch.float64) + 0.5 * (margin == 0)).mean()
