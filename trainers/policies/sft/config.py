"""The settings of supervised fine-tuning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...training.setting_types import Count, NotNegative, Positive


@dataclass(frozen=True)
class SFTSettings:
    """The settings of the stage."""

    epochs: Count = 3
    """Passes over the demonstrations. AlpacaFarm: 3."""
    batch: Count = 128
    """Demonstrations per update. AlpacaFarm: 128."""
    microbatch: Count = 32
    """Rows per forward pass; a memory and speed knob, gradients are those of the whole batch."""
    learning_rate: Positive = 2e-5
    """Peak rate. AlpacaFarm: 2e-5 for 7B parameters; the embedded world's 0.2 M need about 1e-3."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """What follows the warm-up. AlpacaFarm: cosine."""
    warmup: NotNegative = 0.03
    """Below 1 a share of all updates, from 1 a number of them. AlpacaFarm: .03."""
    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this norm. AlpacaFarm: 1."""
    over_length: Literal["drop", "truncate"] = "drop"
    """Demonstrations longer than prompting.max_response_tokens: left out, or cut with EOS kept. Both are counted."""
    checkpoint_every: Count = 200
    """Updates between checkpoints; changes no result."""

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        [rows] = given["rows"]["demonstrations"]
        train = {
            "does": "train",
            "models": ("policy",),
            "rows": rows * self.epochs,
            "batch": self.batch,
            "microbatch": self.microbatch,
            "prompt": given["prompt"],
            "response": given["response"],
            "logits": True,
        }
        updates = self.epochs * -(-int(rows) // self.batch)
        return {"models": {"policy": {"trained": True}}, "passes": (train,), "updates": updates}
