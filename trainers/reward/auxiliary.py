"""Protocols of objectives that are trained with a reward model: in addition to its pairs, or in place of their loss."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch.nn import Module

from rlp_bench.api import Context

from ..data.preference_pairs import TokenPair
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


class PairObjective(Protocol):
    """Another way to compute the gradient of an update's pairs, with its own heads, which are discarded."""

    module: Module
    """The heads, and all other state that a checkpoint must contain; may be empty."""
    learning_rate: float
    """Peak learning rate of the heads."""

    def backward(self, step: int, batch: Sequence[TokenPair]) -> dict[str, float]:
        """Accumulates the gradient of the batch's mean loss; returns log entries, `loss` and `accuracy` among them."""

    def measure(self, log: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Metrics of the trained model."""


class MakePairs(Protocol):
    """Factory of a pair objective for a given reward model."""

    def __call__(
        self, model: Any, tokenizer: Any, inputs: Mapping[str, Any], updates: int, seed: int, context: Context,
        processes: Processes,
    ) -> PairObjective:  # fmt: skip
        """The objective for `updates` updates of `model`; its random draws use `seed`."""
