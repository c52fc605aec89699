"""The stage "reward_contrastive": its inputs and output; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context

from .config import ContrastiveSettings


@dataclass(frozen=True)
class ContrastiveRewardModel(ContrastiveSettings):
    """L_rm + β L_cl on two dropout views of every response; L_rm is the mean over both views.

    The features are the hidden states at the reward head's input. Trained in one process whatever [compute] says: the
    other texts of the whole batch are a text's negatives.

    Source: Wang et al. 2024 (arXiv:2401.06080), section 3.1, eq. 7 to 9. SwAV is that of RLP-UML's ablation "cl".
    """

    name: ClassVar[str] = "reward_contrastive"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "preferences": "preferences*"}
    output: ClassVar[str] = "reward"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    settings_of: ClassVar[str] = "reward"

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Trains and writes the same files as `reward`; log.jsonl also has the contrastive loss."""
        from .loop import train

        return train(self, inputs, out, context)
