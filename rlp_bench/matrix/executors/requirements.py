"""Resource requirements of a stage, from the recipe's [compute] and the size of the base checkpoint."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from rlp_bench.plan.graph import Node
from rlp_bench.recipes.base_checkpoint import locate
from rlp_bench.recipes.schema import Recipe

PROCESS_BYTES = 1 << 30
"""Host memory of a process without weights (torch, transformers, rows). Ours: 0.5 GB measured with the recipe nano."""
LEARNING = 4
"""Weight-sized tensors when training in host memory: weights, gradients, Adam's two moments."""


@dataclass(frozen=True)
class Requirements:
    """Resources of one job, per node."""

    cpus: int = 1
    gpus: int = 0
    memory_bytes: int = PROCESS_BYTES
    """Host memory."""
    workers: int = 1
    """Training processes per node."""
    nodes: int = 1


def stage_requirements(node: Node, recipe: Recipe) -> Requirements:
    """Requirements of a stage: one CPU for data, no GPU for labeling, one GPU per worker for distributed training."""
    compute, trainer = recipe.compute, node.instance
    if node.trainer in ("checkpoint", "data"):
        return Requirements()
    models = sum(handle.kind in ("policy", "reward") for handle in node.sources())
    spread = getattr(trainer, "distributed", False) and compute.strategy != "one"
    workers = compute.workers if spread else 1
    nodes = compute.nodes if spread else 1
    samples = "engine" in trainer.uses
    processes = max(workers, compute.processes if samples or "annotator" in trainer.uses else 1)
    if not (samples or learns(node)):
        return Requirements(compute.threads * processes, 0, PROCESS_BYTES * processes)
    return Requirements(
        compute.threads * processes,
        0 if compute.device == "cpu" else workers,
        _memory(recipe, processes, max(1, models), learns(node)),
        workers,
        nodes,
    )


def evaluation_requirements(recipe: Recipe) -> Requirements:
    """Requirements of an evaluation or tuning measurement: the engine samples from two policies on one device."""
    compute = recipe.compute
    memory = _memory(recipe, compute.processes, 2, False)
    return Requirements(compute.threads * compute.processes, 0 if compute.device == "cpu" else 1, memory)


def learns(node: Node) -> bool:
    """Whether a stage may compute gradients; assumed for any trainer whose output is a policy or reward model."""
    trainer: Any = node.instance
    return "training" in trainer.uses or trainer.output in ("policy", "reward")


def _memory(recipe: Recipe, processes: int, models: int, learning: bool) -> int:
    """Bytes of host memory: weights are loaded once per node for GPUs, and copied by every process on a CPU."""
    weights = weight_bytes(recipe.base.checkpoint)
    copies = models
    if recipe.compute.device == "cpu":
        copies = processes * (models + (LEARNING - 1 if learning else 0))
    return PROCESS_BYTES * processes + copies * weights


@cache
def weight_bytes(checkpoint: str) -> int:
    """Size of a checkpoint's weight files, bytes."""
    return sum(file.stat().st_size for file in locate(checkpoint).glob("*.safetensors"))
