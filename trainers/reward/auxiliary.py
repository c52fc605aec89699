"""What a second training objective on the reward model's backbone implements."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch.nn import Module


class AuxiliaryObjective(Protocol):
    """A second objective of the same backbone, with heads of its own that are thrown away in the end."""

    module: "Module"
    """The heads, and all else of it that a checkpoint must hold."""
    learning_rate: float
    """Peak rate of the heads."""

    def backward(self, step: int) -> dict[str, float]:
        """Adds the gradient of this update's weighted loss to what lies there; returns what to log."""

    def measure(self, log: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Metrics of the trained model."""
