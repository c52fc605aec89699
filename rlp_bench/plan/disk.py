"""The disk space that a plan's missing stages need."""

import shutil
from collections.abc import Collection
from pathlib import Path

from rlp_bench.plan.estimate.estimate import Prediction
from rlp_bench.plan.estimate.memory import FP32
from rlp_bench.plan.graph import Plan

HEADS = {"policy": "lm", "reward": "scalar"}
"""Kind of artifact -> head of the model that it contains."""
CHECKPOINTS_AT_ONCE = 3
"""The two newest are kept, and a new one is complete before the older of them is removed."""
ADAM = 3
"""Copies of each trained parameter in a checkpoint: the parameter and Adam's two moments."""


def bytes_needed(plan: Plan, prediction: Prediction, missing: Collection[str]) -> tuple[int, int] | None:
    """Bytes of (the models that the missing stages write, the largest checkpoints of one stage), all in fp32.

    Rows of text are not counted. None: the sizes are not known.

    Args:
        missing: fingerprints of the stages without an artifact.
    """
    if prediction.shape is None:
        return None
    models, checkpoints = 0, 0
    for node in plan.nodes:
        needs = prediction.stages.get(node.label)
        if node.fingerprint not in missing or needs is None or not needs.trained or node.kind not in HEADS:
            continue
        written = 1 + len(node.settings.get("snapshots", ()))
        models += FP32 * prediction.shape.count(HEADS[node.kind]) * written
        checkpoints = max(checkpoints, CHECKPOINTS_AT_ONCE * ADAM * FP32 * needs.trained)
    return models, checkpoints


def bytes_free(folder: Path) -> int:
    """Free bytes of the disk that a folder is on, or will be."""
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(place).free
