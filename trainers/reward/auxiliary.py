"""Protocols of an auxiliary training objective on the reward model's backbone."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch.nn import Module

from rlp_bench.api import Context

from ..training.distributed import Processes


class AuxiliaryObjective(Protocol):
    """An auxiliary objective on the same backbone, with its own heads, which are discarded after training."""

    module: Module
    """The heads, and all other state that a checkpoint must contain."""
    learning_rate: float
    """Peak learning rate of the heads."""

    def backward(self, step: int) -> dict[str, float]:
        """Accumulates the gradient of this update's weighted loss; returns log entries."""

    def measure(self, log: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Metrics of the trained model."""


class MakeAuxiliary(Protocol):
    """Factory of an auxiliary objective for a given reward model."""

    def __call__(
        self, model: Any, tokenizer: Any, inputs: Mapping[str, Any], updates: int, seed: int, context: Context,
        processes: Processes,
    ) -> AuxiliaryObjective:  # fmt: skip
        """The objective for `updates` updates of `model`; its random draws use `seed`."""
