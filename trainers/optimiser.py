"""Adam with a schedule and a clipped gradient: one update, and what it was."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn import Parameter

from rlp_bench.errors import BenchError

from .equations.learning_rate import Schedule, learning_rate


@dataclass(frozen=True)
class Update:
    """What one update did."""

    learning_rate: float
    grad_norm: float
    """Euclidean norm over all parameters, before clipping."""


class Optimiser:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) without weight decay, fused: one kernel for all parameters."""

    def __init__(
        self,
        parameters: Iterable[Parameter],
        *,
        total_steps: int,
        peak: float,
        warmup: float,
        schedule: Schedule,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        max_grad_norm: float = 1.0,
    ) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.adam = torch.optim.Adam(self.parameters, lr=peak, betas=betas, eps=epsilon, fused=True)
        self.total_steps, self.peak, self.warmup, self.schedule = total_steps, peak, warmup, schedule
        self.max_grad_norm = max_grad_norm

    def update(self, step: int, where: str) -> Update:
        """Applies the gradients that lie on the parameters with the rate of `step`, and clears them.

        Raises:
            BenchError: the gradient is not finite; nothing was changed.
        """
        rate = learning_rate(step, self.total_steps, self.peak, self.warmup, self.schedule)
        for group in self.adam.param_groups:
            group["lr"] = rate
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm))
        if not math.isfinite(norm):
            raise BenchError(
                f"{where}: gradient norm is {norm} at update {step}; expected a finite number; lower "
                f"learning_rate (now {self.peak:g}) or look at log.jsonl for where the loss left its range"
            )
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return Update(rate, norm)
