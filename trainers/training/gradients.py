"""Accumulated gradients of a model as a whole: copies, norms and dot products, over all processes and shards."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from .checkpointing import local
from .distributed import Processes


def gradients(parameters: Iterable[Parameter], processes: Processes) -> list[Tensor]:
    """A copy of every gradient, summed over processes, or this process's shards of it; 0 where there is none."""
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    if processes.size > 1 and not processes.sharded:
        return [processes.accelerator.reduce(grad.clone(), "sum") for grad in found]
    return [local(grad).clone() for grad in found]


def norm(tensors: Sequence[Tensor], processes: Processes) -> float:
    """The Euclidean norm of all tensors together; of shards, that of the whole."""
    found = float(torch.stack([tensor.norm() for tensor in tensors]).norm())
    return math.sqrt(processes.sums({"squared": found**2})["squared"]) if processes.sharded else found


def dot(first: Sequence[Tensor], second: Sequence[Tensor], processes: Processes) -> float:
    """The dot product of two lists of tensors; of shards, that of the whole."""
    found = float(torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)]).sum())
    return processes.sums({"dot": found})["dot"] if processes.sharded else found
