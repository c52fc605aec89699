"""Seconds of a stage, from its FLOPs, memory traffic and communication at given fractions of an accelerator's peaks.

Training and scoring: FLOPs / (share * peak * devices), or the time to move FSDP's shards if longer, because a layer is
fetched while the one before it computes. Sampling: each decoding step takes the maximum of its compute time, of
reading all weights and the KV cache once (Pope et al. 2022, arXiv:2211.05102, section 2.1), and of kernel launches.
"""

import math
from dataclasses import dataclass

from rlp_bench.plan.estimate.accelerators import BETWEEN_NODES, Accelerator
from rlp_bench.plan.estimate.flops import pass_flops, write_layers
from rlp_bench.plan.estimate.memory import BF16, FP32, Setup, by_vllm, cache_bytes, sampling_bytes, slots_of
from rlp_bench.plan.estimate.shapes import Shape
from rlp_bench.plan.estimate.workload import Pass, Work


@dataclass(frozen=True)
class Seconds:
    """Wall-clock seconds of a stage by kind of work: training, forward passes only ("read"), sampling ("write")."""

    train: float = 0.0
    read: float = 0.0
    write: float = 0.0

    @property
    def total(self) -> float:
        return self.train + self.read + self.write


def stage_seconds(
    work: Work, limits: Work, shape: Shape, setup: Setup, device: Accelerator, nodes: int = 1
) -> Seconds:
    """Seconds of a stage.

    Args:
        work: with expected lengths.
        limits: with maximum lengths; rows decoded in one batch wait for the longest of them.
    """
    spent = {"train": 0.0, "read": 0.0, "write": 0.0}
    for one, longest in zip(work.passes, limits.passes, strict=True):
        if one.does == "write":
            spent["write"] += _write(one, longest, work, shape, setup, device, nodes)
        else:
            computed = pass_flops(one, work, shape, setup) / (device.speed(setup.precision) * setup.devices)
            spent[one.does] += max(computed, _messages(one, work, shape, setup, device, nodes))
    return Seconds(**spent)


def _messages(one: Pass, work: Work, shape: Shape, setup: Setup, device: Accelerator, nodes: int) -> float:
    """Seconds to gather shards in every forward and backward pass and to reduce-scatter gradients."""
    if not setup.sharded:
        return 0.0
    rows = max(1, min(one.microbatch or 1, math.ceil(one.batch / setup.devices) if one.batch else 1))
    forwards = math.ceil(one.rows / (rows * setup.devices))
    size = sum(shape.count(work.models[name].head) for name in one.models)
    ways = 3 * FP32 if one.does == "train" else FP32
    if setup.precision == "bf16":
        ways = 2 * BF16 + FP32 if one.does == "train" else BF16
    return forwards * ways * size / _link(setup, device, nodes)


def _write(
    one: Pass, longest: Pass, work: Work, shape: Shape, setup: Setup, device: Accelerator, nodes: int
) -> float:
    """Seconds to sample all rows in batches; each batch takes as many steps as its longest row."""
    slots = max(1.0, slots_of(longest, shape, setup))
    batches = math.ceil(one.rows / (slots * setup.devices))
    width = sampling_bytes(one, setup)
    launches = 0.0 if by_vllm(one, setup) else device.launch_seconds  # CUDA graphs
    speed = device.speed("bf16" if width == BF16 else "fp32")
    weights = width * sum(shape.count(work.models[name].head) for name in one.models)
    cached = slots * (one.prompt + one.response / 2) * cache_bytes(one, shape, setup)
    output = 2 * shape.d * shape.vocabulary * one.response
    computed = slots * (write_layers(shape, one) + output) / speed
    steps = max(1.0, longest.response)
    moved = (steps * weights + one.response * cached) / (device.bandwidth * device.bandwidth_share)
    launched = steps * shape.layers * launches
    fetched = weights / _link(setup, device, nodes) if setup.sharded else 0.0
    return batches * (max(computed, moved, launched) + fetched)


def _link(setup: Setup, device: Accelerator, nodes: int) -> float:
    """Bandwidth of an all-gather of a whole model over all devices, bytes per second."""
    rate = min(device.link, BETWEEN_NODES * setup.devices / nodes) if nodes > 1 else device.link
    return rate * setup.devices / max(1, setup.devices - 1)
