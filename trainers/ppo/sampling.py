"""Distributed rollouts of one policy: each process samples its share of the prompts, all get all responses."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import Decoding

from ..generation.rollout import Rollouts
from ..generation.sampler import Sampler, bounded_mismatch, make_sampler, mismatch_limit
from .models import Models


def sampled_together(models: Models, prompts: list[list[int]], decoding: Decoding, seed: int) -> Rollouts:
    """One response to each prompt. Draws depend on the prompt's index in the list, not on the process."""
    processes, sampler = models.processes, models.sampler
    assert sampler is not None
    sampler.sync(whole_policy(models))
    if processes.size == 1:
        return sampler.rollout(prompts, decoding, seed)
    mine = processes.slice(len(prompts))
    asked = prompts[mine.start : mine.stop]
    drawn = [sampler.rollout(asked, decoding, seed, first_prompt=mine.start)] if asked else []
    parts = [part for of_one in processes.gather([_on_cpu(part) for part in drawn]) for part in of_one]
    return joined(parts, models.tokenizer.pad_token_id)


def open_sampler(models: Models, scratch: Path) -> Sampler:
    """Creates the sampler named in the recipe; the caller must close it."""
    processes = models.processes
    models.sampler = make_sampler(
        processes.training.sampler, whole_policy(models), models.tokenizer, scratch, device=processes.device
    )
    return models.sampler


def whole_policy(models: Models) -> Any:
    """The policy to sample from: itself, or an updated unsharded copy if it is sharded."""
    policy = models.policy
    if not getattr(policy, "in_shards", False):
        return policy
    if models.copy is None:
        from transformers import AutoModelForCausalLM

        low = models.processes.training.precision == "bf16"
        kind = torch.bfloat16 if low else torch.float32
        copy = AutoModelForCausalLM.from_config(policy.config, dtype=kind).to(models.processes.device).eval()
        copy.generation_config = policy.generation_config
        models.copy = copy.requires_grad_(False)
    with torch.no_grad():
        own = dict(models.copy.named_parameters())
        for name, parameter in policy.named_parameters():
            own[name].copy_(parameter.full_tensor())
    return models.copy


def sampler_mismatch(models: Models, rollouts: Rollouts, seen: Tensor, mask: Tensor) -> dict[str, float]:
    """Difference between the sampler's and the learner's log-probabilities; {} if the learner itself samples.

    Args:
        seen: (B, T) log-probabilities by the learner. mask: (B, T) bool, True on response tokens.

    Raises:
        BenchError: the difference is larger than rounding explains.
    """
    training, sampler = models.processes.training, models.sampler
    if training.sampler == "transformers" or sampler is None:
        return {}
    drawn = torch.zeros_like(seen)
    drawn[mask] = rollouts.logprobs[rollouts.response_mask].to(seen.dtype)
    limit = mismatch_limit(sampler.dtype, "bfloat16" if training.precision == "bf16" else "float32")
    return bounded_mismatch(drawn, seen, mask, limit, "ppo")


def joined(parts: list[Rollouts], pad_id: int) -> Rollouts:
    """Concatenated rollouts, padded to the longest."""
    longest = max(part.ids.shape[1] for part in parts)
    fill = {"ids": pad_id}

    def wide(part: Rollouts, name: str) -> Tensor:
        tensor: Tensor = getattr(part, name)
        if tensor.ndim == 1 or tensor.shape[1] == longest:
            return tensor
        return torch.nn.functional.pad(tensor, (0, longest - tensor.shape[1]), value=fill.get(name, 0))

    return Rollouts(**{f.name: torch.cat([wide(part, f.name) for part in parts]) for f in fields(Rollouts)})


def _on_cpu(part: Rollouts) -> Rollouts:
    return Rollouts(**{f.name: getattr(part, f.name).cpu() for f in fields(Rollouts)})
