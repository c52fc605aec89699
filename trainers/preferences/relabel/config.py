"""The settings of labels changed by strength."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlp_bench.api import BenchError

from ...training.setting_types import NotNegative, Share

Which = Literal["none", "negative", "lowest", "all"]


@dataclass(frozen=True)
class RelabelSettings:
    """The settings of the stage. "negative": pairs of strength below 0; "lowest": the share `lowest` of the pairs."""

    flip: Which = "none"
    """Pairs whose responses are exchanged. Wang et al.: those whose label is taken to be wrong."""
    smooth: Which = "none"
    """Pairs whose label is smoothed. Wang et al., "soft label + margin": those of strength below 0."""
    lowest: Share = 0.1
    """q, the share of pairs that "lowest" names. Wang et al.: .1 and .2 in figures 5 to 7."""
    label_smoothing: Share = 0.1
    """α, the probability that a smoothed label is wrong. The paper does not give it: .1 is ours."""
    margin: bool = False
    """Whether every pair gets its strength as the margin of its loss; of a flipped pair it is the opposite strength."""
    margin_scale: NotNegative = 1.0
    """s, a factor of the margin. Wang et al.: 1."""
    margin_clip: NotNegative | None = None
    """Largest absolute margin, in the unit of the rewards; None: no limit (Wang et al.)."""
    kept_from: Share = 0.0
    """The pairs kept start at this share of all pairs, in the order of their strength. 0: with the weakest."""
    kept_to: Share = 1.0
    """The pairs kept end at this share. Wang et al., figure 4: one tenth after the other."""

    def __post_init__(self) -> None:
        if self.kept_from >= self.kept_to:
            raise BenchError(
                f"relabel: kept_from {self.kept_from:g} and kept_to {self.kept_to:g} keep no pair; expected kept_from "
                "below kept_to"
            )

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`: no model is run."""
        rows = given["rows"]["preferences"][0] * (self.kept_to - self.kept_from)
        return {"models": {}, "passes": (), "makes": {"rows": rows}}
