"""FLOPs of a stage from the counters of its meter, and the measured peak of the device.

C = 6 N D for training (2 N D forward, 4 N D backward) and 2 N D for sampling and scoring (Kaplan et al. 2020,
arXiv 2001.08361, section 2.1). N: all parameters of the stage's checkpoint, read from the safetensors header; D: tokens
counted in meter.json. Departs: N includes the embedding (with tied weights also the output layer); attention over the
context and the prompts of sampled responses are not counted.
"""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench.api.safetensors import tensors_of

FORMULA = (
    "6 N tokens trained + 2 N (tokens sampled + tokens scored), N parameters of the checkpoint "
    "(Kaplan et al. 2020); where a stage counts its own passes by that rule, its count"
)
TRAINED = ("tokens_trained",)
PASSED = ("tokens_sampled", "tokens_scored")
UNCOUNTED = ("reward_calls", "entailment_calls")
"""Counters of model calls whose tokens a stage may not count."""
PEAK_SIZE = 1024
PEAK_ROUNDS = 7


@dataclass(frozen=True)
class Flops:
    """FLOPs of a stage; `amount` is None if unknown, and a lower bound if `missing` is not empty."""

    amount: float | None
    source: str
    """"counted by the stage", "6ND + 2ND" or "unknown"."""
    missing: tuple[str, ...] = ()
    formula: float | None = None
    """6ND + 2ND, even if the stage counted its FLOPs itself."""


def stage_flops(counters: Mapping[str, float], parameters: int | None) -> Flops:
    """FLOPs of one stage.

    Args:
        counters: the counters of its meter.json.
        parameters: N; None if the stage has no checkpoint.
    """
    trained = sum(counters.get(name, 0.0) for name in TRAINED)
    passed = sum(counters.get(name, 0.0) for name in PASSED)
    formula = parameters * (6 * trained + 2 * passed) if parameters and trained + passed else None
    if counters.get("flops"):
        return Flops(counters["flops"], "counted by the stage", (), formula)
    uncounted = tuple(name for name in UNCOUNTED if counters.get(name))
    if "tokens_scored" in counters:
        uncounted = tuple(name for name in uncounted if name != "reward_calls")
    if formula is None:
        return Flops(None, "unknown", uncounted or ("no tokens counted",))
    return Flops(formula, "6ND + 2ND", uncounted, formula)


def parameters_of(folder: Path) -> int | None:
    """Number of parameters of a checkpoint folder, from its safetensors headers; None if it has no such files.

    Raises:
        DataError: a header cannot be read.
    """
    tensors = tensors_of(folder)
    return sum(map(math.prod, tensors.values())) if tensors else None


def measured_peak(device: str, threads: int) -> float:
    """Peak FLOP/s: the fastest of several float32 products of two 1024 x 1024 matrices (2 n^3 FLOPs each)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, threads))
    try:
        one = torch.rand(PEAK_SIZE, PEAK_SIZE, device=device)
        return (
            2
            * PEAK_SIZE**3
            / min(_wall_seconds(lambda: float((one @ one)[0, 0])) for _ in range(PEAK_ROUNDS))
        )
    finally:
        torch.set_num_threads(before)


def _wall_seconds(work: Any) -> float:
    """Wall seconds of a call; it must read a number of the result, which synchronizes with the device."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def summed(found: Iterable[Flops]) -> tuple[float | None, list[Flops]]:
    """(sum of the known amounts, those that are unknown or lower bounds)."""
    every = list(found)
    known = [one.amount for one in every if one.amount is not None]
    return (sum(known) if known else None), [one for one in every if one.missing]
