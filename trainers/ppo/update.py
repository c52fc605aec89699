"""One iteration of PPO: observations of a rollout, the updates on it, and its log statistics."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import BenchError

from ..data.seeding import shuffled
from ..data.tokenize import encode_text
from ..equations.kl_estimators import k1, k3
from ..equations.ppo_clip import policy_loss, token_mean, value_loss
from ..generation.rollout import Rollouts
from ..modeling.forward import response_logprobs
from ..training.optimizer import Optimizer
from .config import PPOSettings
from .experience import (
    Experience,
    Observations,
    calibrated_scores,
    experience,
    observe,
    to_slots,
    trimmed,
    values_before,
)
from .models import Models
from .sampling import sampler_mismatch

FIRST_RATIO_LIMIT = 0.02
"""Limit of mean |π/π_old − 1| before the first update; above it, π_old is not the policy that sampled."""
KL_ALARM = 50.0
"""Nats per response (k1, mean of a rollout) above which `kl_alarm` is 1: the policy is far from the initial one."""
SUMMED = ("policy_loss", "value_loss", "approx_kl", "clipfrac", "ratio_error")
"""Statistics of an update, summed over micro-batches and processes."""
ROUNDTRIP_ROWS = 16
"""Responses per rollout that are decoded and encoded again, to check that the tokens are the same."""


@dataclass
class Batch:
    """One rollout with its training targets."""

    rollouts: Rollouts
    seen: Observations
    scores: Tensor
    """(B,) calibrated."""
    targets: Experience
    mismatch: float
    """Fraction of responses whose text is encoded as other tokens."""
    sampler: dict[str, float]
    """Difference between the sampler's and the learner's log-probabilities; empty if the learner samples."""

    def statistics(self) -> dict[str, float]:
        """Statistics of the rollout before the updates. Raw reward scores, KL in nats per response.

        `ref_perplexity` is that of all sampled tokens under the initial policy, at the sampler's temperature.
        """
        mask, finished = self.seen.mask, self.rollouts.finished
        difference = k1(self.seen.logprobs, self.seen.ref_logprobs)
        cubic = torch.where(mask, k3(self.seen.logprobs, self.seen.ref_logprobs), 0.0)
        raw = self.seen.scores
        kl = float(torch.where(mask, difference, 0.0).sum(1).mean())
        return {
            "score_mean": float(raw.mean()),
            "score_std": float(raw.std(unbiased=False)),
            "score_finished": float(raw[finished].mean()) if finished.any() else 0.0,
            "score_unfinished": float(raw[~finished].mean()) if not finished.all() else 0.0,
            "paid_score_mean": float(self.scores.mean()),
            "kl_k1": kl,
            "kl_k3": float(cubic.sum(1).mean()),
            "kl_alarm": float(abs(kl) > KL_ALARM),
            "ref_perplexity": math.exp(-float(self.seen.ref_logprobs.sum() / mask.sum())),
            "entropy": -float(self.seen.logprobs.sum() / mask.sum()),
            "length": float(mask.sum(1).double().mean()),
            "finish_rate": float(finished.double().mean()),
            "roundtrip_mismatch": self.mismatch,
            **self.sampler,
        }

    def spent(self, models: Models, epochs: int) -> dict[str, float]:
        """Amounts for the meter: 2 FLOPs per parameter and token for a forward pass, 6 for forward and backward."""
        tokens = float(self.rollouts.mask.sum())
        size = sum(parameter.numel() for parameter in models.policy.parameters())
        return {
            "samples": float(len(self.scores)),
            "tokens_sampled": float(self.seen.mask.sum()),
            "tokens_trained": tokens * epochs,
            "reward_calls": float(len(self.scores)),
            "flops": tokens * size * (2 * 5 + 2 * 6 * epochs),
        }


def observe_rollout(
    sampled: Rollouts, models: Models, settings: PPOSettings, beta: float, limit: int, device: str
) -> Batch:
    """The rollout with scores, log-probabilities, values, rewards and advantages."""
    flags = settings.flags
    sampled = replace(sampled, **{name: tensor.to(device) for name, tensor in vars(sampled).items()})
    longest = int(sampled.response_mask.sum(1).max())
    slots = limit if "all_slots" in (flags.whiten_scope, flags.loss_mean) else longest
    seen = observe(sampled, models, settings.temperature, slots, settings.microbatch)
    scores = calibrated_scores(seen.scores, sampled.finished, models.info, flags, settings.missing_eos_value)
    targets = experience(seen, scores, flags, beta, settings.gamma)
    apart = sampler_mismatch(models, sampled, seen.logprobs, seen.mask)
    return Batch(sampled, seen, scores, targets, roundtrip_mismatch(sampled, models.tokenizer), apart)


def learn(
    batch: Batch, models: Models, optimizer: Optimizer, settings: PPOSettings, step: int, seed: int
) -> dict[str, float]:
    """Runs epochs x mini-batches updates. Returns the means of their statistics."""
    rows = len(batch.scores)
    updates: list[dict[str, float]] = []
    for epoch in range(settings.epochs):
        order = shuffled(rows, seed, epoch)
        for start in range(0, rows, settings.minibatch):
            row = backward(batch, order[start : start + settings.minibatch], models, settings)
            if not updates:
                _check_first_ratio(row["ratio_error"], step)
            models.processes.sum_gradients(optimizer.parameters)
            update = optimizer.update(step, "ppo")
            updates.append({**row, "grad_norm": update.grad_norm, "learning_rate": update.learning_rate})
    means = {name: sum(row[name] for row in updates) / len(updates) for name in updates[0]}
    means["first_ratio_error"] = updates[0]["ratio_error"]
    return {name: value for name, value in means.items() if name != "ratio_error"}


def backward(batch: Batch, rows: list[int], models: Models, settings: PPOSettings) -> dict[str, float]:
    """Accumulates the gradient of both losses on these responses; independent of the micro-batch size."""
    flags, seen, processes = settings.flags, batch.seen, models.processes
    real = int(seen.mask[rows].sum())
    tokens = len(rows) * seen.mask.shape[1] if flags.loss_mean == "all_slots" else real
    sums: dict[str, Tensor] = {}
    for chunk, weight in processes.parts(batch.rollouts.mask[rows].sum(1).tolist(), settings.microbatch):
        here = [rows[index] for index in chunk]
        ids, mask, response = trimmed(batch.rollouts, here)
        slots = seen.mask[here, : int(response.sum(1).max())]
        width = slots.shape[1]
        old = seen.logprobs[here, :width]
        asked = (ids, mask, response, settings.temperature)
        new = to_slots(processes.run(models.policy, response_logprobs, *asked), response, slots)
        values = to_slots(processes.run(models.value, values_before, ids, mask), response, slots)
        surrogate = policy_loss(new, old, batch.targets.advantages[here, :width], settings.clip)
        regression = value_loss(
            values, seen.values[here, :width], batch.targets.returns[here, :width], settings.value_clip
        )
        policy_part = token_mean(surrogate, slots, tokens)
        value_part = token_mean(regression, slots, tokens)
        loss = policy_part + settings.value_weight * value_part
        processes.backward(loss if weight else 0 * loss)
        if not weight:
            continue
        parts = {"policy_loss": policy_part.detach(), "value_loss": value_part.detach()}
        for name, part in {**parts, **_ratio_sums(new.detach(), old, slots, settings.clip, real)}.items():
            sums[name] = sums.get(name, torch.zeros_like(part)) + part
    return processes.sums({name: float(sums.get(name, 0.0)) for name in SUMMED})


def _ratio_sums(new: Tensor, old: Tensor, mask: Tensor, clip: float, real: int) -> dict[str, Tensor]:
    """Contributions of a micro-batch to means over the `real` tokens of its mini-batch."""
    log_ratio = (new - old)[mask]
    error = torch.expm1(log_ratio)
    return {
        "approx_kl": 0.5 * (log_ratio**2).sum() / real,
        "clipfrac": (error.abs() > clip).sum() / real,
        "ratio_error": error.abs().sum() / real,
    }


def _check_first_ratio(error: float, step: int) -> None:
    """Raises BenchError if the ratios before the first update of a rollout are not 1, as they should be."""
    if not math.isfinite(error) or error > FIRST_RATIO_LIMIT:
        raise BenchError(
            f"ppo: rollout {step}: mean |ratio − 1| is {error:.3g} before the first update; expected below "
            f"{FIRST_RATIO_LIMIT}; log-probabilities are not finite or not those of the policy that sampled"
        )


def roundtrip_mismatch(sampled: Rollouts, tokenizer: Any) -> float:
    """Fraction of (the first 16) responses whose decoded text is encoded as other tokens."""
    rows = range(min(ROUNDTRIP_ROWS, len(sampled.ids)))
    special = set(tokenizer.all_special_ids)
    wrong = 0
    for row in rows:
        tokens = [t for t in sampled.ids[row][sampled.response_mask[row]].tolist() if t not in special]
        text = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        wrong += encode_text(tokenizer, text) != tokens
    return wrong / len(rows)
