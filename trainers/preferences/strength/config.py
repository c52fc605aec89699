"""The settings of preference strength."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlp_bench.api import BenchError

from ...training.setting_types import Count


@dataclass(frozen=True)
class StrengthSettings:
    """The settings of the stage."""

    models: Count = 10
    """M, the number of reward models, each with another head and another order of the pairs. Wang et al.: 10."""
    scoring: Literal["in_sample", "cross_fit", "scaled"] = "in_sample"
    """The models that score a pair: all, which were trained on it (Wang et al.); those trained without its fold; or
    all, each model's differences divided by their own spread first. The last two are ours: models remember the labels
    they were trained on, and Bradley-Terry leaves a reward's scale free."""
    folds: Count = 5
    """K, the number of folds of "cross_fit"; M/K models score a pair."""

    def __post_init__(self) -> None:
        if self.models < 2:
            raise BenchError(
                f"strength: models is {self.models}; expected at least 2, because one model has no spread; raise models"
            )
        few = self.folds < 2 or self.models % self.folds or self.models < 2 * self.folds
        if self.scoring == "cross_fit" and few:
            raise BenchError(
                f"strength: {self.models} models with {self.folds} folds; expected 2 folds or more, and a multiple of "
                "them in models that lets 2 or more score every pair; change models or folds"
            )

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        [pairs] = given["rows"]["preferences"]
        share = 1 / self.folds if self.scoring == "cross_fit" else 1.0
        lengths = {"prompt": given["prompt"], "response": given["response"]}
        read = {"does": "read", "models": ("reward",), "rows": 2 * pairs * self.models * share, **lengths}
        return {"models": {"reward": {"head": "scalar"}}, "passes": (read,), "makes": {"rows": pairs}}
