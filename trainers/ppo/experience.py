"""PPO's training targets: the responses of one rollout with rewards, advantages and returns of every token.

Letters: B responses, L tokens of prompt and response together, T response slots; T is the length of the longest
response, or the recipe's response limit if padding is counted.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..equations.gae import generalized_advantages
from ..equations.kl_estimators import ESTIMATORS
from ..equations.kl_shaped_rewards import kl_shaped_rewards
from ..equations.whiten import scale_masked, whiten_all_slots, whiten_masked
from ..generation.rollout import Rollouts
from ..modeling.checkpoints import RewardInfo
from ..modeling.forward import response_logprobs, scalar_scores, token_values
from ..training.distributed import Processes
from .config import Flags
from .models import Models


@dataclass
class Observations:
    """Outputs of the four models on a rollout. All (B, T), 0 after the response; scores (B,)."""

    mask: Tensor
    """bool, True on response tokens, EOS included."""
    logprobs: Tensor
    """Of the policy at sampling time, recomputed by the learner."""
    ref_logprobs: Tensor
    values: Tensor
    """Value of the state before each token."""
    scores: Tensor
    """(B,) raw scores of the reward model."""


@dataclass
class Experience:
    """Training targets. All (B, T)."""

    rewards: Tensor
    """Before whitening: the score on the last token, minus β KL on each."""
    advantages: Tensor
    returns: Tensor


def to_slots(tokens: Tensor, response_mask: Tensor, slot_mask: Tensor) -> Tensor:
    """Moves response entries of a (B, L) tensor to (B, T): slot 0 is the first response token. Differentiable."""
    slots = tokens.new_zeros(slot_mask.shape)
    slots[slot_mask] = tokens[response_mask]
    return slots


def slot_mask(response_mask: Tensor, slots: int) -> Tensor:
    """(B, slots) bool, True on as many slots as the response has tokens."""
    return torch.arange(slots, device=response_mask.device) < response_mask.sum(1, keepdim=True)


def values_before(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """(B, L) value of the state before token t: the value head at hidden state t − 1."""
    return torch.nn.functional.pad(token_values(model, ids, mask)[:, :-1], (1, 0))


def observe(
    rollouts: Rollouts,
    models: Models,
    temperature: float,
    slots: int,
    microbatch: int,
) -> Observations:
    """Runs policy, reference, value net and reward model on every response, once each.

    Every process runs them on its share; all processes get the results of all.

    Args:
        temperature: the sampler's; divides the logits of policy and reference.
        slots: T.
        microbatch: rows per forward pass, of similar length.
    """
    mask = slot_mask(rollouts.response_mask, slots)
    blank = torch.zeros(mask.shape, device=mask.device)
    seen = Observations(mask, blank, blank.clone(), blank.clone(), torch.zeros(len(mask), device=mask.device))
    processes = models.processes
    with torch.no_grad():
        for rows, weight in processes.parts(rollouts.mask.sum(1).tolist(), microbatch):
            ids, real, response = trimmed(rollouts, rows)
            here = mask[rows]
            asked = (ids, real, response, temperature)
            scored = scored_mask(rollouts, rows, real, models.info)
            with models.of_start():
                start = processes.run(models.ref, response_logprobs, *asked)
            found = (
                ("logprobs", processes.run(models.policy, response_logprobs, *asked)),
                ("ref_logprobs", start),
                ("values", processes.run(models.value, values_before, ids, real)),
            )
            scores = processes.run(models.reward, scalar_scores, ids, scored)
            if weight:
                for field, tokens in found:
                    getattr(seen, field)[rows] = to_slots(tokens, response, here)
                seen.scores[rows] = scores
    return seen if processes.size == 1 else _together(seen, processes)


def _together(seen: Observations, processes: Processes) -> Observations:
    """The observations of all processes, by summation: each has zeros in the rows of the others."""
    fields = ("logprobs", "ref_logprobs", "values", "scores")
    summed = {name: processes.accelerator.reduce(getattr(seen, name), "sum") for name in fields}
    return replace(seen, **summed)


def trimmed(rollouts: Rollouts, rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """ids, mask and response mask of the given rows, cut to the longest of them."""
    longest = int(rollouts.mask[rows].sum(1).max())
    return (
        rollouts.ids[rows, :longest],
        rollouts.mask[rows, :longest],
        rollouts.response_mask[rows, :longest],
    )


def scored_mask(rollouts: Rollouts, rows: list[int], mask: Tensor, info: RewardInfo) -> Tensor:
    """The tokens that the reward model gets: all, or all but the EOS if it was trained without."""
    if info.eos:
        return mask
    last = mask.sum(1) - 1
    seen = mask.clone()
    ended = rollouts.finished[rows]
    seen[ended.nonzero(as_tuple=True)[0], last[ended]] = False
    return seen


def calibrated_scores(
    scores: Tensor, finished: Tensor, info: RewardInfo, flags: Flags, missing_eos_value: float
) -> Tensor:
    """(B,) calibrated scores, with the adjustment for unfinished responses.

    Args:
        scores: (B,) raw.
        finished: (B,) bool.
        info: mean and standard deviation of the reward model's scores on samples of the SFT policy.
        missing_eos_value: in those standard deviations; replaces the score of an unfinished response ("replace"), or
            its magnitude is subtracted from it ("penalty").
    """
    z = (scores - info.mean) / info.std
    if flags.missing_eos == "replace":
        z = torch.where(finished, z, missing_eos_value)
    elif flags.missing_eos == "penalty":
        z = torch.where(finished, z, z - abs(missing_eos_value))
    if flags.calibrate == "standardise":
        return z
    return z * info.std + (info.mean if flags.calibrate == "none" else 0.0)


def experience(seen: Observations, scores: Tensor, flags: Flags, beta: float, gamma: float) -> Experience:
    """Rewards, advantages and returns of every token."""
    kl = ESTIMATORS[flags.kl_estimator](seen.logprobs, seen.ref_logprobs)
    rewards = kl_shaped_rewards(scores, kl, seen.mask, beta)
    every = torch.ones_like(seen.mask)
    counted = every if flags.whiten_scope == "all_slots" else seen.mask
    paid = rewards
    if flags.whiten_rewards == "scale":
        paid = scale_masked(rewards, counted)
    elif flags.whiten_rewards == "keep_mean":
        paid = _whiten(rewards, seen.mask, flags, shift_mean=False)
    advantages = generalized_advantages(paid, seen.values, counted, gamma, flags.gae_lambda)
    returns = torch.where(seen.mask, advantages + seen.values, 0.0)
    if flags.whiten_advantages:
        advantages = _whiten(advantages, seen.mask, flags, shift_mean=True)
    return Experience(rewards, torch.where(seen.mask, advantages, 0.0), returns)


def _whiten(values: Tensor, mask: Tensor, flags: Flags, shift_mean: bool) -> Tensor:
    if flags.whiten_scope == "all_slots":
        return whiten_all_slots(values, shift_mean)
    return whiten_masked(values, mask, shift_mean)
