"""The settings of contrastive reward models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from ...training.setting_types import Count, NotNegative, Positive
from ..config import RewardSettings
from ..multi_view.config import FEATURES

Rate = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class ContrastiveSettings(RewardSettings):
    """The settings of the stage: those of `reward`, and those of the contrastive objective."""

    objective: Literal["simcse_pairs", "simcse_differences", "swav_pairs", "swav_differences"] = (
        "simcse_pairs"
    )
    """SimCSE or SwAV, on the features of both responses or on their differences. Wang et al.: SimCSE on pairs."""
    weight: NotNegative = 0.1
    """β, the weight of the contrastive loss. The paper does not say: .1 is ours."""
    dropout: Rate = 0.1
    """Rate at which attention weights and features are dropped in each view. Gao et al. 2021: .1."""
    temperature: Positive = 0.05
    """τ of SimCSE. Gao et al. 2021: .05. SwAV's is .1, as in the stage `reward_uml`."""
    hidden: Count = 1024
    """SwAV: hidden width of the projection. As in the stage `reward_uml`."""
    prototypes: Count = 128
    """SwAV: prototypes; batch and queue together hold twice as many features. As in the stage `reward_uml`."""
    head_learning_rate: Positive = 1e-4
    """SwAV: peak learning rate of projection and prototypes, which are discarded after training."""

    @property
    def queue(self) -> int:
        """SwAV's queue length per view; a batch has two features per pair."""
        return max(0, 2 * self.prototypes - 2 * self.batch)

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        told = super().work(given)
        train, read = told["passes"]
        twice = {**train, "rows": 2 * train["rows"], "batch": 2 * train["batch"], "held": 2 * train["held"]}
        return {**told, "passes": (twice, read), "extra": self.head_parameters(int(given["hidden"]))}

    def head_parameters(self, hidden_size: int) -> int:
        """Parameters of SwAV's heads and queue, which are discarded after training; SimCSE has none."""
        if self.objective.startswith("simcse"):
            return 0
        projection = (hidden_size + 1) * self.hidden + (self.hidden + 1) * FEATURES
        return projection + FEATURES * self.prototypes + 2 * self.queue * FEATURES
