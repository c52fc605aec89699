"""Samples rollouts of the policy that is being trained with vLLM."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlp_bench.api import DataError, Decoding

from ..modeling.lora import adapted, merged_state
from .rollout import Rollouts, eos_ids, pack
from .sampler_mismatch import refuse_uncorrectable
from .vllm_engine import request_seeds
from .vllm_runner import VllmRunner, VllmSettings


class PolicySampler:
    """Samples with the weights of the last `sync`.

    In distributed training every process has one sampler on the same folder, and all call `sync` together.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        folder: Path,
        device: str = "cpu",
        settings: VllmSettings | None = None,
    ) -> None:
        """Does not start vLLM yet.

        Args:
            model: a transformers model; vLLM is started with its configuration.
            folder: scratch space for the transferred weights.
        """
        self._runner = VllmRunner(device, settings)
        self._model, self._tokenizer = model, tokenizer
        self._folder = folder / "vllm"
        self._ends: list[int] = eos_ids(model, tokenizer).tolist()
        self._syncs = 0

    @property
    def dtype(self) -> str:
        """vLLM's precision."""
        return self._runner.dtype

    def sync(self, model: Any) -> None:
        """Transfers the learner's weights through a file, in the precision of the sampler.

        Args:
            model: a transformers model, or all its weights by name (used in the first process only). Adapters are
                merged; sharded weights (DTensor) are gathered one by one.
        """
        named = model if isinstance(model, Mapping) else _plain_state(model)
        kind, first = getattr(torch, self._runner.dtype), _rank() == 0
        weights = {}
        for name, tensor in named.items():
            whole = _whole(tensor)
            if first:
                weights[name] = whole.to("cpu", kind if whole.is_floating_point() else whole.dtype)
        _wait()  # until no process reads the folder
        if first:
            partial = self._folder.with_name("vllm-partial")
            shutil.rmtree(partial, ignore_errors=True)
            self._model.save_pretrained(str(partial), state_dict=weights)
            shutil.rmtree(self._folder, ignore_errors=True)
            partial.rename(self._folder)
        _wait()
        self._syncs += 1

    def rollout(
        self,
        prompts: list[list[int]],
        decoding: Decoding,
        seed: int,
        n: int = 1,
        first_prompt: int = 0,
    ) -> Rollouts:
        """n responses to each token row; log-probabilities are vLLM's own, at the temperature of `decoding`.

        Raises:
            BenchError: `decoding` samples from a distribution other than the one in PPO's ratios.
            DataError: there are no prompts, or n < 1.
        """
        refuse_uncorrectable(decoding)
        if not prompts or n < 1:
            raise DataError(
                f"rollout: {len(prompts)} prompts with {n} samples each; expected at least one of each"
            )
        if not self._syncs:
            self.sync(self._model)
        rows = [prompt for prompt in prompts for _ in range(n)]
        tokens = max(map(len, rows)) + decoding.max_response_tokens
        self._runner.serve(self._folder, self._model.config, self._syncs, tokens)
        seeds = request_seeds(seed, first_prompt, len(prompts), n)
        drawn = self._runner.draw(rows, decoding, seeds, self._ends, logprobs=True)
        lengths = np.array([len(one.tokens) for one in drawn], dtype=np.int64)
        places = np.arange(decoding.max_response_tokens)[None, :] < lengths[:, None]
        ids = np.zeros(places.shape, dtype=np.int64)
        ids[places] = [token for one in drawn for token in one.tokens]
        logprobs = np.zeros(places.shape, dtype=np.float32)
        logprobs[places] = [value for one in drawn for value in one.logprobs]
        finished = np.array([one.finished for one in drawn])
        return pack(rows, ids, logprobs, lengths, finished, self._tokenizer.pad_token_id)

    def close(self) -> None:
        """Frees memory and scratch space."""
        self._runner.close()
        _wait()
        if _rank() == 0:
            shutil.rmtree(self._folder, ignore_errors=True)


def _plain_state(model: Any) -> Mapping[str, Tensor]:
    state: Mapping[str, Tensor] = merged_state(model) if adapted(model) else model.state_dict()
    return state


def _whole(tensor: Tensor) -> Tensor:
    """The full tensor, gathered if it is sharded."""
    gather = getattr(tensor, "full_tensor", None)
    whole: Tensor = (gather() if gather else tensor).detach()
    return whole


def _rank() -> int:
    """This process's rank. transformers saves checkpoints on rank 0 only."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _wait() -> None:
    """Barrier over all training processes."""
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        torch.distributed.barrier()
