"""The settings of MetaRM."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlp_bench.api import BenchError

from ...training.setting_types import Count, NotNegative, Share
from ..config import RewardSettings


@dataclass(frozen=True)
class MetaSettings(RewardSettings):
    """The settings of the stage: those of `reward`, and those of the inner step."""

    eta: NotNegative | None = None
    """η, the step size of the ascent on the difference objective; 0 is plain reward modeling. None: in every update so
    that the step is as long as Adam's can be, learning rate × √(trained parameters). The paper does not say."""
    k: Count = 4
    """Responses per prompt in the difference objective, drawn anew in every update. Ours: the paper does not say."""
    meta_batch: Count | None = None
    """m, prompts per inner step; None: as many as `batch`. Ours: the paper does not say."""
    heldout_prompts: Share = 0.05
    """Fraction of the samples' prompts that are held out to measure the differences, at least 1. Ours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 2:
            raise BenchError(
                f"reward_meta: k is {self.k}; expected at least 2 responses per prompt, which are told apart; raise k"
            )

    @property
    def prompts(self) -> int:
        """m, prompts per inner step."""
        return self.meta_batch or self.batch

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        told = super().work(given)
        train, read = told["passes"]
        row = {"microbatch": self.microbatch, "response": given["response"], "masked": False}
        rows = told["updates"] * self.prompts * self.k
        held = self.prompts * self.k
        # The parameters before the inner step and its gradient are kept until the update.
        inner = {**train, **row, "rows": rows, "batch": held, "held": held, "copies": 2}
        [prompts] = given["rows"]["samples"]
        measured = {**read, **row, "rows": max(1, self.heldout_prompts * prompts) * self.k}
        return {**told, "passes": (train, inner, read, measured)}
