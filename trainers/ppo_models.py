"""The four models of PPO."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from rlp_bench.errors import DataError

from .models import RewardInfo, load_policy, load_reward


@dataclass
class Models:
    """Policy and value net learn; reference and reward model do not. All in eval mode throughout: no dropout."""

    policy: Any
    ref: Any
    value: Any
    reward: Any
    info: RewardInfo
    tokenizer: Any

    @property
    def trained(self) -> Mapping[str, Module]:
        """What a checkpoint has to keep."""
        return {"policy": self.policy, "value": self.value}


def load_models(init: Path, reward: Path, device: str) -> Models:
    """Policy and reference from `init`; reward model, and a value net on its backbone with a head of zeros.

    Source: Dubois et al. 2023 (arXiv:2305.14387), code `rl_models.py`.

    Raises:
        DataError: policy and reward model do not read the same tokens.
    """
    policy, tokenizer = load_policy(init, device)
    ref, _ = load_policy(init, device)
    reward_model, reward_tokenizer, info = load_reward(reward, device)
    value, _, _ = load_reward(reward, device)
    if tokenizer.get_vocab() != reward_tokenizer.get_vocab():
        raise DataError(
            f'ppo: reward model "{reward}" has another vocabulary than policy "{init}"; rollouts are scored token '
            "by token; expected a reward model trained from this policy's family"
        )
    with torch.no_grad():
        for parameter in value.get_submodule("score").parameters():
            parameter.zero_()
    for frozen in (ref, reward_model):
        frozen.requires_grad_(False)
    return Models(policy, ref, value, reward_model, info, tokenizer)
