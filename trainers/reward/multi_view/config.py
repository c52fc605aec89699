"""The settings of a reward model with RLP-UML's objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlp_bench.api import BenchError

from ...training.setting_types import Count, NotNegative, Positive, Share
from ..config import RewardSettings

CONTRAST = 8
"""Minimum number of distinct prompts in a batch: fewer give too few in-batch negatives, one gives none. Gradient
accumulation does not help. Ours; Lang et al. 2024 do not specify it."""
FEATURES = 128
"""Size of a projected feature. Caron et al. 2020: 128."""


@dataclass(frozen=True)
class MultiViewSettings(RewardSettings):
    """The settings of the stage: those of `reward`, and those of the auxiliary objective."""

    objective: Literal["mib", "infomax", "mvi", "cl"] = "mib"
    """Multi-view information bottleneck (RLP-UML), InfoMax, MVI (the bottleneck without SKL), CL (SwAV)."""
    weight: NotNegative = 0.5
    """λ, the weight of the auxiliary objective. RLP: .5."""
    skl_weight: NotNegative = 1.0
    """β, the weight of the symmetrized KL in the bottleneck. RLP's formula has none: 1. "mvi" always uses 0."""
    skl_schedule: Literal["constant", "fed"] = "constant"
    """"fed": β/1000 for the first third of all updates, then exponential growth to β (Federici et al. 2020, whose
    150 000 updates are rescaled to this run's)."""
    skl: Literal["closed", "mc"] = "closed"
    """The KL in closed form, or a one-sample Monte Carlo estimate (Federici et al. 2020)."""
    negatives: Literal["all", "roll"] = "all"
    """Negative pairs: all B(B - 1) of a batch, or one per example (Federici et al. 2020)."""
    z_dim: Count = 64
    """Dimension of the latent z. Federici et al. 2020: 64."""
    hidden: Count = 1024
    """Hidden width of encoders, critic and projection. Federici et al. 2020: 1024; the micro world needs 64."""
    shared_trunk: bool = False
    """Whether one network gives mean and standard deviation (Federici et al. 2020) instead of two (RLP)."""
    prototypes: Count = 128
    """Prototypes of "cl"; batch and queue together hold twice as many. Caron et al. 2020: 3000 for batches of 4096."""
    head_learning_rate: Positive = 1e-4
    """Peak learning rate of the auxiliary heads, which are discarded after training. Federici et al. 2020: 1e-4; at
    the backbone's 3e-6 they would stay near their initialization."""
    heldout_prompts: Share = 0.05
    """Fraction of the samples' prompts that are held out, at least 8. Ours."""
    ratio_every: Count = 10
    """Updates between two measurements of the ratio of the objectives' gradient norms."""

    def __post_init__(self) -> None:
        super().__post_init__()
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
        """Parameters of the auxiliary heads, which are discarded after training."""
        if self.objective == "cl":
            projection = _linear(hidden_size, self.hidden) + _linear(self.hidden, FEATURES)
            return projection + FEATURES * self.prototypes + 2 * self.queue * FEATURES
        outputs = (2 * self.z_dim,) if self.shared_trunk else (self.z_dim, self.z_dim)
        encoder = sum(self._three_layers(hidden_size, each) for each in outputs)
        seen = hidden_size if self.objective == "infomax" else self.z_dim
        return encoder + self._three_layers(seen + self.z_dim, 1)

    @property
    def queue(self) -> int:
        """Queue length of "cl" per view: batch and queue together hold twice as many features as prototypes."""
        return max(0, 2 * self.prototypes - self.batch)

    def _three_layers(self, inputs: int, outputs: int) -> int:
        return (
            _linear(inputs, self.hidden) + _linear(self.hidden, self.hidden) + _linear(self.hidden, outputs)
        )


def _linear(inputs: int, outputs: int) -> int:
    """Weights and biases of a linear layer."""
    return (inputs + 1) * outputs
