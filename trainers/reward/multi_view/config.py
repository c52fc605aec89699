"""The settings of a reward model with RLP-UML's objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlp_bench.api import BenchError

from ...training.setting_types import Count, NotNegative, Positive, Share
from ..config import RewardSettings

CONTRAST = 8
"""The fewest distinct prompts in a batch: with fewer, in-batch negatives say next to nothing, with one there are none.
Gradient accumulation does not help. Lang et al. 2024 are silent; ours."""
FEATURES = 128
"""Size of a projected feature. Caron et al. 2020: 128."""


@dataclass(frozen=True)
class MultiViewSettings(RewardSettings):
    """The settings of the stage: those of `reward`, and those of the objective beside it."""

    objective: Literal["mib", "infomax", "mvi", "cl"] = "mib"
    """Multi-view information bottleneck (RLP-UML), InfoMax, MVI (the bottleneck without SKL), CL (SwAV)."""
    weight: NotNegative = 0.5
    """λ, of the whole objective. RLP: .5."""
    skl_weight: NotNegative = 1.0
    """β, of the symmetrised KL within the bottleneck. RLP's formula shows none: 1. MVI has 0 whatever this says."""
    skl_schedule: Literal["constant", "fed"] = "constant"
    """"fed": a thousandth of β for the first third of all updates, then growing by a constant factor (Federici et al.
    2020, whose 150 000 updates are cut to the number there is)."""
    skl: Literal["closed", "mc"] = "closed"
    """The KL in closed form, or from the one draw that there is (Federici et al. 2020)."""
    negatives: Literal["all", "roll"] = "all"
    """False pairs: all B(B - 1) in a batch, or one each (Federici et al. 2020)."""
    z_dim: Count = 64
    """Size of z. Federici et al. 2020: 64."""
    hidden: Count = 1024
    """Width of encoders, critic and projection. Federici et al. 2020: 1024; the embedded world needs 64."""
    shared_trunk: bool = False
    """One network for mean and deviation (Federici et al. 2020) instead of two (RLP)."""
    prototypes: Count = 128
    """Of CL, with a queue so that batch and queue are twice as many. Caron et al. 2020: 3000, for batches of 4096."""
    head_learning_rate: Positive = 1e-4
    """Peak rate of everything that is thrown away. Federici et al. 2020: 1e-4; at the backbone's 3e-6 it would stay as
    it was drawn."""
    heldout_prompts: Share = 0.05
    """Share of the samples' prompts kept for measuring, at least 8. Ours."""
    ratio_every: Count = 10
    """Updates between two measurements of the ratio of the two gradients' norms."""

    def __post_init__(self) -> None:
        if self.batch < CONTRAST:
            raise BenchError(
                f"reward_uml: batch is {self.batch}; in-batch negatives need at least {CONTRAST} distinct prompts in a "
                "batch (gradient accumulation does not help); raise batch"
            )

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        told = super().work(given)
        train, read = told["passes"]
        views = {**train, "rows": told["updates"] * self.batch, "copies": 3}
        [prompts] = given["rows"]["samples"]
        held = max(CONTRAST, self.heldout_prompts * prompts) * given["responses"]["samples"]
        row = {"microbatch": self.microbatch, "response": given["response"], "masked": False}
        passes = (train, views, read, {**read, "rows": held, **row})
        return {**told, "passes": passes, "extra": self.head_parameters(int(given["hidden"]))}

    def head_parameters(self, hidden_size: int) -> int:
        """Parameters of everything that is thrown away."""
        if self.objective == "cl":
            projection = _linear(hidden_size, self.hidden) + _linear(self.hidden, FEATURES)
            return projection + FEATURES * self.prototypes + 2 * self.queue * FEATURES
        outputs = (2 * self.z_dim,) if self.shared_trunk else (self.z_dim, self.z_dim)
        encoder = sum(self._three_layers(hidden_size, each) for each in outputs)
        seen = hidden_size if self.objective == "infomax" else self.z_dim
        return encoder + self._three_layers(seen + self.z_dim, 1)

    @property
    def queue(self) -> int:
        """Features of each view that CL keeps, so that batch and queue are twice as many as the prototypes."""
        return max(0, 2 * self.prototypes - self.batch)

    def _three_layers(self, inputs: int, outputs: int) -> int:
        return (
            _linear(inputs, self.hidden) + _linear(self.hidden, self.hidden) + _linear(self.hidden, outputs)
        )


def _linear(inputs: int, outputs: int) -> int:
    """Weights and biases of a linear layer."""
    return (inputs + 1) * outputs
