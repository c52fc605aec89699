"""What a second training objective on the reward model's backbone implements."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch.nn import Module

from rlp_bench.api import Context

from ..training.distributed import Processes


class AuxiliaryObjective(Protocol):
    """A second objective of the same backbone, with heads of its own that are thrown away in the end."""

    module: Module
    """The heads, and all else of it that a checkpoint must hold."""
    learning_rate: float
    """Peak rate of the heads."""

    def backward(self, step: int) -> dict[str, float]:
        """Adds the gradient of this update's weighted loss to what lies there; returns what to log."""

    def measure(self, log: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Metrics of the trained model."""


class MakeAuxiliary(Protocol):
    """Makes an auxiliary objective once the reward model is there."""

    def __call__(
        self, model: Any, tokenizer: Any, inputs: Mapping[str, Any], updates: int, seed: int, context: Context,
        processes: Processes,
    ) -> AuxiliaryObjective:  # fmt: skip
        """The objective for so many updates of `model`; what it draws at random comes from `seed`."""
