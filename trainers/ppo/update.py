"""One rollout of PPO: what is observed, what is learnt, and what is written down."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import BenchError

from ..data.seeding import shuffled
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
"""Mean |π/π_old − 1| before anything was learnt; above it, sampler and learner do not agree on what was sampled."""
KL_ALARM = 50.0
"""Nats a response (k1, mean of a rollout) from which a row of the log has `kl_alarm`: the policy has left its start."""
SUMMED = ("policy_loss", "value_loss", "approx_kl", "clipfrac", "ratio_error")
"""What an update reports, sums over micro-batches and processes."""
ROUNDTRIP_ROWS = 16
"""Responses of a rollout that are written out and read again, to see whether text and tokens agree."""


@dataclass
class Batch:
    """One rollout with everything that is learnt from it."""

    rollouts: Rollouts
    seen: Observations
    scores: Tensor
    """(B,) calibrated."""
    targets: Experience
    mismatch: float
    """Share of responses whose text is read as other tokens."""
    sampler: dict[str, float]
    """How far the sampler's log-probabilities are from the learner's; empty where they are one."""

    def statistics(self) -> dict[str, float]:
        """The rollout before it is learnt from. Score in the reward model's own unit, KL in nats a response."""
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
            "entropy": -float(self.seen.logprobs.sum() / mask.sum()),
            "length": float(mask.sum(1).double().mean()),
            "finish_rate": float(finished.double().mean()),
            "roundtrip_mismatch": self.mismatch,
            **self.sampler,
        }

    def spent(self, models: Models, epochs: int) -> dict[str, float]:
        """Amounts for the meter: 2 FLOPs a parameter and token forward, 6 forward and back."""
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
    """Scores, log-probabilities, values, rewards and advantages of a rollout."""
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
    """epochs x minibatches updates. Returns what they were like, means over the updates."""
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
    """Adds the gradient of both losses on these responses; the sum does not depend on the micro-batches."""
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
    """Before the first update of a rollout the policy is the one that was observed: its ratios are 1."""
    if not math.isfinite(error) or error > FIRST_RATIO_LIMIT:
        raise BenchError(
            f"ppo: rollout {step}: mean |ratio − 1| is {error:.3g} before anything was learnt; expected below "
            f"{FIRST_RATIO_LIMIT}; log-probabilities are not finite or not those of the policy that sampled"
        )


def roundtrip_mismatch(sampled: Rollouts, tokenizer: Any) -> float:
    """Share of (the first 16) responses whose text gives other tokens when it is read again."""
    rows = range(min(ROUNDTRIP_ROWS, len(sampled.ids)))
    special = set(tokenizer.all_special_ids)
    wrong = 0
    for row in rows:
        tokens = [t for t in sampled.ids[row][sampled.response_mask[row]].tolist() if t not in special]
        text = tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        wrong += tokenizer.encode(text, add_special_tokens=False) != tokens
    return wrong / len(rows)
