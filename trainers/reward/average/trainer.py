"""The stage "average_rewards": its inputs, output and settings; its algorithm is in `loop`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context

from ...training.setting_types import Count, Share


@dataclass(frozen=True)
class AverageRewards:
    """A reward model whose score is the mean of the scores of several; nothing is trained.

    Source: Coste et al. 2024 (arXiv:2310.02743), mean optimization. A control for methods that train many reward models
    to change labels: what these models are worth without that.
    """

    name: ClassVar[str] = "average_rewards"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"preferences": "preferences", "rewards": "reward*"}
    output: ClassVar[str] = "reward"
    uses: ClassVar[tuple[str, ...]] = ("prompting",)
    settings_of: ClassVar[str] = "reward"

    microbatch: Count = 32
    """Responses per forward pass: memory and speed."""
    heldout: Share = 0.05
    """Fraction of the prompts that its members were not trained on; the mean reward is
    measured on them."""

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes reward_average.json, with paths relative to the artifact, and reward.json."""
        from .loop import average

        return average(self, inputs, out, context)

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        held = self.heldout * given["rows"]["preferences"][0]
        members = len(given["rows"]["rewards"])
        lengths = {"prompt": given["prompt"], "response": given["response"]}
        models = {f"reward-{member + 1}": {"head": "scalar"} for member in range(members)}
        read = {
            "does": "read",
            "models": tuple(models),
            "rows": 2 * held,
            "microbatch": self.microbatch,
            **lengths,
        }
        return {"models": models, "passes": (read,)}
