"""How far the log-probabilities of who sampled are from those of who learns, token by token."""

from torch import Tensor


def logprob_mismatch(
    sampler_logprobs: Tensor, learner_logprobs: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and maximum of |log π_sampler(y_t) − log π_learner(y_t)| over the tokens where `mask` is True.

    0 where both computed the same weights without rounding. Not a number where either log-probability is none.

    Args:
        sampler_logprobs, learner_logprobs: nats, of the same shape and the same temperature.
        mask: bool, same shape, True on response tokens; at least one.

    Returns:
        Two scalars, nats a token.
    """
    difference = (sampler_logprobs - learner_logprobs)[mask].abs()
    return difference.mean(), difference.max()
