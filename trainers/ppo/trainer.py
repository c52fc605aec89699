"""The stage "ppo": its inputs and output; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rlp_bench.api import Artifact, Context

from .config import PPOSettings


@dataclass(frozen=True)
class PPO(PPOSettings):
    """max E[r(x, y)] − β KL(π ‖ π_init), with a clipped surrogate and a separate value net.

    Source: Ouyang et al. 2022 (arXiv:2203.02155), equation 2, without the pretraining term; Schulman et al. 2017
    (arXiv:1707.06347). Choices in which implementations differ are flags; see `config`.
    """

    name: ClassVar[str] = "ppo"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "reward": "reward", "prompts": "prompts"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    distributed: ClassVar[bool] = True

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Trains and writes the policy, log.jsonl (a row per rollout) and the snapshots."""
        from .loop import train

        return train(self, inputs, out, context)
