"""The stage "reward_uml": its inputs and output; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context

from .config import MultiViewSettings


@dataclass(frozen=True)
class PolicyRewardModel(MultiViewSettings):
    """Bradley-Terry plus λ L_M on pairs of different responses of the policy; per update as many prompts as pairs.

    The views are the hidden states at the reward head's input, so L_M shapes the representation that the reward is
    computed from; responses are drawn anew in every update. The heads of L_M are discarded. The optimizer has two
    groups, each with its own learning rate and clipping: with `weight` 0 the result equals `reward` with the same
    `redraw`, bit for bit.

    Source: Lang et al. 2024 (arXiv:2403.19279), section 3.1 and Eq. 1; table 4 for the other objectives. The paper does
    not specify views, latent size, critic, negatives and learning rates: see docs/equations.md for our choices.
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
        """Trains and writes the same files as `reward`; log.jsonl also has the objective's terms."""
        from .loop import train

        return train(self, inputs, out, context)
