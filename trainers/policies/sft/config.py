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
    """Rows per forward pass (gradient accumulation): memory and speed; gradients are those of the whole batch."""
    learning_rate: Positive = 2e-5
    """Peak learning rate. AlpacaFarm: 2e-5 for 7B parameters; the micro world's 0.2 M need about 1e-3."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Learning-rate schedule after warmup. AlpacaFarm: cosine."""
    warmup: NotNegative = 0.03
    """Warmup: below 1 a fraction of all updates, otherwise a number of updates. AlpacaFarm: .03."""
    max_grad_norm: Positive = 1.0
    """Gradient-norm clipping threshold. AlpacaFarm: 1."""
    over_length: Literal["drop", "truncate"] = "drop"
    """Demonstrations longer than prompting.max_response_tokens: dropped, or truncated before EOS. Both are counted."""
    checkpoint_every: Count = 200
    """Updates between checkpoints; does not change results."""

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
