"""The stage "reward": what it takes, makes and uses; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context

from .config import RewardSettings


@dataclass(frozen=True)
class RewardModel(RewardSettings):
    """Bradley-Terry on the policy's backbone with a fresh scalar head.

    The held-out pairs are chosen by content from the first preferences artifact, so a model retrained on more data is
    measured on the same pairs. Its mean and spread on those pairs' texts (samples of the SFT policy) are stored beside
    the weights: a reward means something only relative to them.

    Source: Dubois et al. 2023 (arXiv:2305.14387), AlpacaFarm's `reward_modeling.sh`. Departs: EOS is part of a finished
    response (`eos`); the last real token is found by length, not by padding.
    """

    name: ClassVar[str] = "reward"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "preferences": "preferences*"}
    output: ClassVar[str] = "reward"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    distributed: ClassVar[bool] = True

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the reward model, reward.json and log.jsonl (loss, accuracy, rate, gradient norm)."""
        from .loop import train

        return train(self, inputs, out, context)
