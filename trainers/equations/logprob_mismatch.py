"""Per-token difference between the log-probabilities of the sampler and those of the learner."""

from torch import Tensor


def logprob_mismatch(
    sampler_logprobs: Tensor, learner_logprobs: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and maximum of |log π_sampler(y_t) − log π_learner(y_t)| over the tokens where `mask` is True.

    0 if both computed with the same weights and the same rounding. NaN if either log-probability is NaN.

    Args:
        sampler_logprobs, learner_logprobs: nats, of the same shape and the same temperature.
        mask: bool, same shape, True on response tokens; at least one.

    Returns:
        Two scalars, nats per token.
    """
    difference = (sampler_logprobs - learner_logprobs)[mask].abs()
    return difference.mean(), difference.max()
