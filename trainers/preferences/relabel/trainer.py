"""The stage "relabel": its inputs and output; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rlp_bench.api import Artifact, Context

from .config import RelabelSettings


@dataclass(frozen=True)
class Relabel(RelabelSettings):
    """The same pairs with labels flipped, smoothed, or given a margin, according to their strength.

    Reward models that are trained on them are evaluated on the annotator's labels: held-out pairs are flipped back.

    Source: Wang et al. 2024 (arXiv:2401.06080), section 2.2, eq. 5 and 6.
    """

    name: ClassVar[str] = "relabel"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"preferences": "preferences", "strengths": "strengths"}
    output: ClassVar[str] = "preferences"
    uses: ClassVar[tuple[str, ...]] = ()

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes rows.jsonl: those of `preferences`, with strength, margin, label_smoothing and flipped where set."""
        from .loop import relabel

        return relabel(self, inputs, out)
