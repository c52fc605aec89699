"""The stage "reward": its inputs and output; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context

from .config import RewardSettings


@dataclass(frozen=True)
class RewardModel(RewardSettings):
    """Bradley-Terry reward model on the policy's backbone with a new scalar head.

    The held-out pairs are chosen by content from the first preferences artifact, so a model retrained on more data is
    evaluated on the same pairs. The mean and standard deviation of its scores on their responses (samples of the SFT
    policy) are stored beside the weights, for calibration.

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
        """Trains and writes the reward model, reward.json and log.jsonl (loss, accuracy, rate, gradient norm)."""
        from .loop import train

        return train(self, inputs, out, context)
