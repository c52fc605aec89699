"""Adam with a learning rate schedule and gradient clipping."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Parameter

from rlp_bench.api import BenchError

from ..equations.learning_rate import Schedule, learning_rate


@dataclass(frozen=True)
class Update:
    """Statistics of one update."""

    learning_rate: float
    """Learning rate of the first group."""
    grad_norm: float
    """Euclidean norm over the parameters of the first group, before clipping."""


class Optimizer:
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
        auxiliary: Iterable[Parameter] = (),
        auxiliary_peak: float = 0.0,
    ) -> None:
        """`auxiliary`: a second group with its own peak rate, clipped separately so as not to scale down the first."""
        first, second = ([p for p in group if p.requires_grad] for group in (parameters, auxiliary))
        groups = [(first, peak), (second, auxiliary_peak)] if second else [(first, peak)]
        self.groups = groups
        self.parameters = [*first, *second]
        self.adam = torch.optim.Adam(
            [{"params": group, "lr": rate} for group, rate in groups], betas=betas, eps=epsilon, fused=True
        )
        self.total_steps, self.peak, self.warmup, self.schedule = total_steps, peak, warmup, schedule
        self.max_grad_norm = max_grad_norm

    def update(self, step: int, where: str) -> Update:
        """Applies the accumulated gradients with the learning rate of `step`, and clears them.

        Raises:
            BenchError: the gradient is not finite; the parameters are unchanged.
        """
        norms = []
        for (parameters, peak), group in zip(self.groups, self.adam.param_groups, strict=True):
            group["lr"] = learning_rate(step, self.total_steps, peak, self.warmup, self.schedule)
            norm: Any = torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
            norms.append(float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm))
            if not math.isfinite(norms[-1]):
                raise BenchError(
                    f"{where}: gradient norm is {norms[-1]} at update {step}; expected a finite number; lower "
                    f"the learning rate (now {peak:g}), or find in log.jsonl where the loss diverged"
                )
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return Update(self.adam.param_groups[0]["lr"], norms[0])
