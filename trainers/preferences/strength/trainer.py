"""The stage "strength": its inputs and output; its settings are in `config`, its algorithm in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context

from .config import StrengthSettings


@dataclass(frozen=True)
class PreferenceStrength(StrengthSettings):
    """Mean and population standard deviation over M reward models of r(x, chosen) − r(x, rejected), for every pair.

    Source: Wang et al. 2024 (arXiv:2401.06080), eq. 4. Departs: their models differ in the order of the pairs, ours
    also in the initial head. Pairs that the stage `reward` holds out are always scored by models that were not trained
    on them.
    """

    name: ClassVar[str] = "strength"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"preferences": "preferences", "rewards": "reward*"}
    output: ClassVar[str] = "strengths"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "engine")

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes rows.jsonl {instruction, input, chosen, rejected, strength, strength_std, differences}."""
        from .loop import measure

        return measure(self, inputs, out, context)
