"""The settings of a reward model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlp_bench.api import BenchError

from ..training.setting_types import Count, NotNegative, NotNegativeCount, Positive, Share


@dataclass(frozen=True)
class RewardSettings:
    """The settings of the stage."""

    epochs: Count = 1
    """Passes over the pairs. AlpacaFarm: 1."""
    batch: Count = 16
    """Pairs per update. AlpacaFarm: 16."""
    microbatch: Count = 32
    """Responses (two per pair) of similar length per forward pass (gradient accumulation): memory and speed."""
    learning_rate: Positive = 3e-6
    """Peak learning rate. AlpacaFarm: 3e-6 for 7B parameters; the micro world's 0.2 M need about 1e-3."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Learning-rate schedule after warmup. AlpacaFarm: cosine."""
    warmup: NotNegative = 0.03
    """Warmup: below 1 a fraction of all updates, otherwise a number of updates. AlpacaFarm: .03."""
    max_grad_norm: Positive = 1.0
    """Gradient-norm clipping threshold. AlpacaFarm: 1."""
    heldout: Share = 0.05
    """Fraction of the first preference artifact's prompts that are held out. AlpacaFarm: 500 of 10 000."""
    eos: bool = True
    """Whether a finished response is scored with its EOS, in training and wherever this model is used."""
    match_steps: bool = False
    """Whether the number of updates is that of the first preference artifact alone, however many pairs the others
    add: the budget of the model it is compared with. Ours, a control; RLP does not specify it."""
    redraw: NotNegativeCount = 0
    """Index of the seed for head initialization and data order; 0: the run's seed. RLP retrains r̂ on data that
    contains all of r_φ's: with 0 and no added data it would be r_φ itself. Retrained models, and the control
    `rm_retrain`, use 1."""
    folds: Count = 1
    """Folds that the prompts are split into, by content; the model is trained without one of them, so that it can score
    its pairs (cross-fitting). 1: trained on all. Ours; see the stage `strength`."""
    left_out: NotNegativeCount = 0
    """The fold that this model is trained without, from 0 to folds − 1; no effect with one fold."""
    checkpoint_every: Count = 200
    """Updates between checkpoints; does not change results."""

    def __post_init__(self) -> None:
        if self.left_out >= self.folds:
            raise BenchError(
                f"reward: left_out is {self.left_out} with {self.folds} folds; expected 0 to {self.folds - 1}; raise "
                "folds"
            )

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        pairs = given["rows"]["preferences"]
        held = self.heldout * pairs[0]
        trained = (pairs[0] if self.match_steps else sum(pairs)) - held
        rows = self.epochs * trained * (1 if self.folds == 1 else 1 - 1 / self.folds)
        # One row is a pair: the prompt and both responses. All pairs of a batch are in one graph.
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
