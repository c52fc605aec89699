"""Samplers for PPO's rollouts: this process's own decoder, or vLLM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rlp_bench.api import BenchError, Decoding, UnknownName, nearest

from .rollout import Rollouts, rollout
from .sampler_mismatch import bounded_mismatch, mismatch_limit, refuse_uncorrectable
from .vllm_runner import VllmSettings
from .vllm_sampler import PolicySampler

__all__ = ["Sampler", "bounded_mismatch", "make_sampler", "mismatch_limit"]

NAMES = ("transformers", "vllm")


class Sampler(Protocol):
    """Samples responses of the policy that is being trained."""

    @property
    def dtype(self) -> str:
        """Precision of the sampler; with the learner's it determines the mismatch limit."""

    def sync(self, model: Any) -> None:
        """Loads the learner's weights; must be called before every rollout."""

    def rollout(
        self, prompts: list[list[int]], decoding: Decoding, seed: int, n: int = 1, first_prompt: int = 0
    ) -> Rollouts:
        """n responses to each token row. `first_prompt`: index of prompts[0] in a longer list."""

    def close(self) -> None:
        """Frees memory and scratch space."""


def make_sampler(
    name: str,
    model: Any,
    tokenizer: Any,
    folder: Path,
    *,
    device: str = "cpu",
    slots: int = 128,
    settings: Mapping[str, Any] | None = None,
    top_k: int = 0,
    repetition_penalty: float = 1.0,
) -> Sampler:
    """The sampler for the engine `name`.

    Args:
        model: the policy, a transformers model. folder: scratch space of the stage.
        slots: rows decoded in parallel.
        settings: for vLLM, see `VllmSettings` (dtype "fp32" or "bf16", gpu_memory_utilization, ...).

    Raises:
        BenchError: unknown sampler, vLLM is not installed, or top_k or repetition_penalty are set.
    """
    refuse_uncorrectable(Decoding(), top_k, repetition_penalty)
    if name == "transformers":
        return OwnSampler(model, tokenizer, slots)
    if name == "openai":
        raise BenchError(
            'ppo: sampler "openai": the weights being trained cannot be sent to an endpoint; expected '
            '"transformers" or "vllm"; change training.sampler'
        )
    if name != "vllm":
        raise UnknownName(f'ppo: sampler "{name}": {nearest(name, NAMES)}')
    shared = {"gpu_memory_utilization": 0.3, "max_num_seqs": slots, **(settings or {})}
    return PolicySampler(model, tokenizer, folder, device, VllmSettings(**shared))


class OwnSampler:
    """Samples with `rollout` from the learner itself: no weights are transferred."""

    def __init__(self, model: Any, tokenizer: Any, slots: int = 128) -> None:
        self._model, self._tokenizer, self._slots = model, tokenizer, slots

    @property
    def dtype(self) -> str:
        return str(self._model.dtype).removeprefix("torch.")

    def sync(self, model: Any) -> None:
        """Samples from this model from now on."""
        if not isinstance(model, Mapping):
            self._model = model

    def rollout(
        self, prompts: list[list[int]], decoding: Decoding, seed: int, n: int = 1, first_prompt: int = 0
    ) -> Rollouts:
        """n responses to each token row; see `rollout.rollout`."""
        refuse_uncorrectable(decoding)
        return rollout(self._model, self._tokenizer, prompts, decoding, seed, self._slots, n, first_prompt)

    def close(self) -> None:
        """No-op."""
