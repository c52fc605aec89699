"""The stage "sft": its inputs and output; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rlp_bench.api import Artifact, Context

from .config import SFTSettings


@dataclass(frozen=True)
class SupervisedFineTuning(SFTSettings):
    """Supervised fine-tuning: cross-entropy on response and EOS, averaged over all target tokens of the batch.

    Source: Dubois et al. 2023 (arXiv:2305.14387), AlpacaFarm's `sft.sh`. Departs: their loss is averaged per
    micro-batch, ours per batch (short responses weigh less); their right truncation may cut EOS, ours never does.
    """

    name: ClassVar[str] = "sft"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "demonstrations": "demonstrations"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    distributed: ClassVar[bool] = True

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Trains and writes the policy and log.jsonl (loss, learning rate, gradient norm of every update)."""
        from .loop import train

        return train(self, inputs, out, context)
