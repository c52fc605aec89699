"""The stage "reward_uml": what it takes, makes and uses; settings are in `config`, the algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context

from .config import MultiViewSettings


@dataclass(frozen=True)
class PolicyRewardModel(MultiViewSettings):
    """Bradley-Terry plus λ L_M on two different responses of the policy to each of as many prompts as there are pairs.

    The views are the hidden states that the reward head reads, so that what L_M shapes is what the reward sees; they
    are drawn afresh in every update. The heads of L_M are thrown away. The optimizer has two groups, each with a rate
    and a clip of its own: with `weight` 0 this is a `reward` of the same `redraw`, bit for bit.

    Source: Lang et al. 2024 (arXiv:2403.19279), section 3.1 and Eq. 1; table 4 for the other objectives. The paper is
    silent on views, latent size, critic, negatives and rates: docs/equations.md says what we chose and why.
    """

    name: ClassVar[str] = "reward_uml"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {
        "init": "policy", "preferences": "preferences*", "samples": "samples"
    }  # fmt: skip
    output: ClassVar[str] = "reward"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    distributed: ClassVar[bool] = True

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes what `reward` writes; log.jsonl also has the objective's terms."""
        from .loop import train

        return train(self, inputs, out, context)
