"""The settings of a reward model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..training.setting_types import Count, NotNegative, NotNegativeCount, Positive, Share


@dataclass(frozen=True)
class RewardSettings:
    """The settings of the stage."""

    epochs: Count = 1
    """Passes over the pairs. AlpacaFarm: 1."""
    batch: Count = 16
    """Pairs per update. AlpacaFarm: 16."""
    microbatch: Count = 32
    """Responses (two a pair) per forward pass, of like length; a memory and speed knob."""
    learning_rate: Positive = 3e-6
    """Peak rate. AlpacaFarm: 3e-6 for 7B parameters; the embedded world's 0.2 M need about 1e-3."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """What follows the warm-up. AlpacaFarm: cosine."""
    warmup: NotNegative = 0.03
    """Below 1 a share of all updates, from 1 a number of them. AlpacaFarm: .03."""
    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this norm. AlpacaFarm: 1."""
    heldout: Share = 0.05
    """Share of the first artifact's prompts kept for measuring. AlpacaFarm: 500 of 10 000."""
    eos: bool = True
    """Whether a finished response carries its EOS when it is scored, here and wherever this model is used."""
    match_steps: bool = False
    """As many updates as the first preferences artifact alone would give, however many pairs the others add: the
    budget of the model that it is compared with. Ours, a control; RLP says nothing."""
    redraw: NotNegativeCount = 0
    """Which draw of head and data order. RLP retrains r̂ on data that contains all of r_φ's: with draw 0 and nothing
    added it would be r_φ itself; retrained models here take draw 1, and so does the control `rm_retrain`."""
    checkpoint_every: Count = 200
    """Updates between checkpoints; changes no result."""

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        pairs = given["rows"]["preferences"]
        held = self.heldout * pairs[0]
        rows = self.epochs * ((pairs[0] if self.match_steps else sum(pairs)) - held)
        # A pair is one row, prompt and both responses; all pairs of a batch are one graph.
        pair = {
            "models": ("reward",),
            "microbatch": max(1, self.microbatch // 2),
            "prompt": given["prompt"],
            "response": 2 * given["response"],
            "masked": True,
        }
        train = {"does": "train", "rows": rows, "batch": self.batch, "held": self.batch, **pair}
        return {
            "models": {"reward": {"head": "scalar", "trained": True}},
            "passes": (train, {"does": "read", "rows": held, **pair}),
            "updates": -(-int(rows) // self.batch),
        }
