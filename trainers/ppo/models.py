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
from ..modeling.averaged_reward import member_folders
from ..modeling.checkpoints import RewardInfo, load_policy, load_reward
from ..modeling.lora import adapters_off
from ..training.distributed import ALONE, Processes


@dataclass
class Models:
    """Policy and value net are trained; reference and reward model are frozen. All in eval mode: no dropout."""

    policy: Any
    ref: Any
    """The policy itself if it has adapters: with them disabled it is the initial policy."""
    value: Any
    reward: Any
    info: RewardInfo
    tokenizer: Any
    processes: Processes
    """The processes that train together."""
    sampler: Sampler | None = None
    """The sampler of rollouts."""
    copy: Any = None
    """Unsharded copy of a sharded policy, for sampling."""

    def of_start(self) -> AbstractContextManager[None]:
        """A context within which `ref` computes as the initial policy."""
        return adapters_off(self.policy) if self.ref is self.policy else nullcontext()

    @property
    def trained(self) -> Mapping[str, Module]:
        """The trained modules, which checkpoints save."""
        return {"policy": self.policy, "value": self.value}


def load_models(init: Path, reward: Path, device: str, processes: Processes = ALONE, seed: int = 0) -> Models:
    """Policy and reference from `init`; reward model, and a value net on its backbone with a zero-initialized head.

    If the reward is the mean of several models, the value net is on the backbone of the first.

    Models are loaded one after the other; each is sharded before the next is loaded.

    Source: Dubois et al. 2023 (arXiv:2305.14387), code `rl_models.py`.

    Raises:
        DataError: policy and reward model have different vocabularies.
    """
    policy, tokenizer = load_policy(init, device)
    policy = processes.prepare(policy, seed=seed)
    same = bool(processes.training.lora_rank)
    ref = policy if same else processes.prepare(load_policy(init, device)[0], learns=False)
    reward_model, reward_tokenizer, info = load_reward(reward, device)
    reward_model = processes.prepare(reward_model, learns=False)
    value, _, _ = load_reward((member_folders(reward) or [reward])[0], device)
    if tokenizer.get_vocab() != reward_tokenizer.get_vocab():
        raise DataError(
            f'ppo: reward model "{reward}" has another vocabulary than policy "{init}"; expected the same, because '
            "both read the same token ids; use a reward model trained from this policy's family"
        )
    with torch.no_grad():
        for parameter in value.get_submodule("score").parameters():
            parameter.zero_()
    value = processes.prepare(value, seed=derived_seed(seed, "value"))
    return Models(policy, ref, value, reward_model, info, tokenizer, processes)
