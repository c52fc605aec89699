"""The four models of PPO."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from rlp_bench.api import DataError

from ..data.seeding import derived_seed
from ..generation.sampler import Sampler
from ..modeling.checkpoints import RewardInfo, load_policy, load_reward
from ..modeling.lora import adapters_off
from ..training.distributed import ALONE, Processes


@dataclass
class Models:
    """Policy and value net learn; reference and reward model do not. All in eval mode throughout: no dropout."""

    policy: Any
    ref: Any
    """The policy itself where it has adapters: with those off it is what it started from."""
    value: Any
    reward: Any
    info: RewardInfo
    tokenizer: Any
    processes: Processes
    """The processes that train together."""
    sampler: Sampler | None = None
    """Who draws rollouts."""
    copy: Any = None
    """A whole copy of a policy in shards, to sample from."""

    def of_start(self) -> AbstractContextManager[None]:
        """Within it `ref` is the policy that PPO started from."""
        return adapters_off(self.policy) if self.ref is self.policy else nullcontext()

    @property
    def trained(self) -> Mapping[str, Module]:
        """What a checkpoint has to keep."""
        return {"policy": self.policy, "value": self.value}


def load_models(init: Path, reward: Path, device: str, processes: Processes = ALONE, seed: int = 0) -> Models:
    """Policy and reference from `init`; reward model, and a value net on its backbone with a head of zeros.

    One after the other, each cut into shards before the next is read.

    Source: Dubois et al. 2023 (arXiv:2305.14387), code `rl_models.py`.

    Raises:
        DataError: policy and reward model do not read the same tokens.
    """
    policy, tokenizer = load_policy(init, device)
    policy = processes.prepare(policy, seed=seed)
    same = bool(processes.training.lora_rank)
    ref = policy if same else processes.prepare(load_policy(init, device)[0], learns=False)
    reward_model, reward_tokenizer, info = load_reward(reward, device)
    reward_model = processes.prepare(reward_model, learns=False)
    value, _, _ = load_reward(reward, device)
    if tokenizer.get_vocab() != reward_tokenizer.get_vocab():
        raise DataError(
            f'ppo: reward model "{reward}" has another vocabulary than policy "{init}"; rollouts are scored token '
            "by token; expected a reward model trained from this policy's family"
        )
    with torch.no_grad():
        for parameter in value.get_submodule("score").parameters():
            parameter.zero_()
    value = processes.prepare(value, seed=derived_seed(seed, "value"))
    return Models(policy, ref, value, reward_model, info, tokenizer, processes)
