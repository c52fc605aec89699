"""The stage "reward_meta": its inputs and output; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context

from .config import MetaSettings


@dataclass(frozen=True)
class MetaRewardModel(MetaSettings):
    """MetaRM: θ' = θ + η ∇J(θ) on a policy's samples; the gradient of the pairs' loss at θ' updates θ. First order.

    One inner step per update, whatever the micro-batches. With `eta` 0 the result equals `reward` with the same
    `redraw`, bit for bit.

    Source: Wang et al. 2024 (arXiv:2401.06080), section 3.2, eq. 10 to 14, algorithm 1. The gradient of J is clipped
    like that of the loss (ours).
    """

    name: ClassVar[str] = "reward_meta"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {
        "init": "policy", "preferences": "preferences*", "samples": "samples"
    }  # fmt: skip
    output: ClassVar[str] = "reward"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    distributed: ClassVar[bool] = True
    settings_of: ClassVar[str] = "reward"

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Trains and writes the same files as `reward`; log.jsonl also has the inner step."""
        from .loop import train

        return train(self, inputs, out, context)
