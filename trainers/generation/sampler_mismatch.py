"""Checks on PPO's sampling: allowed decoding options, and the log-probability mismatch of sampler and learner."""

import math

from torch import Tensor

from rlp_bench.api import BenchError, Decoding

from ..equations.logprob_mismatch import logprob_mismatch

MISMATCH_LIMITS = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.05}
"""Upper limit of the mean |log π_sampler − log π_learner|, nats per token, by the lower precision of the two. Ours.

float32: 100 to 1000 times the rounding error with equal weights (docs/scale.md), far below the change by one update.
bfloat16: logits have a relative step of 2⁻⁸, so that log-probabilities differ by about .01; a mean of .05 would bias
ratios by 5 %, a quarter of PPO's clip range of .2.
"""
ORDER = ("float32", "float16", "bfloat16")
"""From high to low precision."""


def refuse_uncorrectable(decoding: Decoding, top_k: int = 0, repetition_penalty: float = 1.0) -> None:
    """Raises BenchError if sampling would be from another distribution than the one in PPO's ratios."""
    wrong = {
        "temperature": (decoding.temperature, decoding.temperature > 0, "more than 0"),
        "top_p": (decoding.top_p, decoding.top_p == 1, "1"),
        "top_k": (top_k, top_k == 0, "0"),
        "repetition_penalty": (repetition_penalty, repetition_penalty == 1, "1"),
    }
    for name, (given, right, expected) in wrong.items():
        if not right:
            raise BenchError(
                f"ppo: rollouts with {name} {given:g}: PPO's ratios are those of the whole distribution; expected "
                f"{expected}; set it in the evaluation's decoding instead"
            )


def mismatch_limit(*dtypes: str) -> float:
    """The limit for the lowest of these precisions ("float32", "bfloat16", "float16")."""
    return MISMATCH_LIMITS[max(dtypes, key=ORDER.index)]


def bounded_mismatch(
    sampler_logprobs: Tensor, learner_logprobs: Tensor, mask: Tensor, limit: float, where: str
) -> dict[str, float]:
    """Mean and maximum of |log π_sampler − log π_learner| over response tokens, for the log.

    Args:
        sampler_logprobs, learner_logprobs: (B, T) nats. mask: (B, T) bool.
        limit: limit of the mean; see `mismatch_limit`.
        where: prefix of the error message, such as "ppo: rollout 3".

    Raises:
        BenchError: the mean is above the limit or not finite.
    """
    mean, largest = (float(value) for value in logprob_mismatch(sampler_logprobs, learner_logprobs, mask))
    if not math.isfinite(mean) or mean > limit:
        raise BenchError(
            f"{where}: log-probabilities of sampler and learner differ by {mean:.3g} nats per token on average "
            f"(maximum {largest:.3g}); expected at most {limit:g}: the sampler has other weights or too low a "
            "precision; sample in the precision of training, or with engine transformers"
        )
    return {"sampler_mismatch_mean": mean, "sampler_mismatch_max": largest}
