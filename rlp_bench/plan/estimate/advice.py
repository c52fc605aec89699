"""Changes that make a stage fit: each is predicted alone and, where none is enough, all are combined."""

from dataclasses import dataclass, replace
from typing import Any

from rlp_bench.plan.estimate.accelerators import Accelerator
from rlp_bench.plan.estimate.estimate import Needs, Prediction
from rlp_bench.plan.estimate.memory import Setup, stage_memory
from rlp_bench.plan.estimate.shapes import Shape
from rlp_bench.plan.estimate.workload import Work, stage_works
from rlp_bench.plan.graph import Plan

WORLDS = (2, 4, 8, 16, 32, 64, 128)
"""Numbers of devices tried for FSDP."""
RANK = 16
"""LoRA rank tried."""


@dataclass(frozen=True)
class Change:
    """One possible change, and the stage's memory with it."""

    what: str
    settings: dict[str, Any]
    """Changed settings of the stage."""
    setup: dict[str, Any]
    total: float
    fits: bool

    def json(self) -> dict[str, Any]:
        """JSON values."""
        return {"change": self.what, "memory_bytes": self.total, "fits": self.fits}


def advise(plan: Plan, prediction: Prediction, label: str) -> list[Change]:
    """The changes that lower a stage's memory, those that fit first; if none fits, the last combines several."""
    needs, device = prediction.stages[label], prediction.device
    if needs is None or device is None or prediction.shape is None or needs.fits:
        return []
    trial = _Trial(plan, prediction, needs, device)
    single = [change for change in trial.single() if change.total < 0.995 * needs.memory.total]
    if any(change.fits for change in single):
        return sorted(single, key=lambda change: not change.fits)
    together = [change for change in trial.together() if change.total < 0.995 * needs.memory.total]
    return [*single, *together]


class _Trial:
    """Predicts one stage under changed settings."""

    def __init__(self, plan: Plan, prediction: Prediction, needs: Needs, device: Accelerator) -> None:
        self.plan, self.prediction, self.needs, self.device = plan, prediction, needs, device
        assert prediction.shape is not None
        self.shape: Shape = prediction.shape
        self.node = next(node for node in plan.nodes if node.label == needs.stage)
        self.learns = any(model.trained for model in needs.work.models.values())

    def single(self) -> list[Change]:
        """Each change alone; of those with a number, the smallest change that fits, else the largest."""
        found = []
        if self.learns and not self.needs.setup.checkpointing:
            found.append(self.change("activation checkpointing", {}, {"checkpointing": True}))
        if (
            self.learns
            and getattr(self.node.instance, "distributed", False)
            and not self.needs.setup.lora_rank
        ):
            worlds = [
                size for size in WORLDS if size > self.needs.setup.devices or not self.needs.setup.sharded
            ]
            found += self.mildest([self.fsdp(size) for size in worlds])
        found += self.mildest([self.microbatch(rows) for rows in self.smaller()])
        if self.learns and not self.needs.setup.lora_rank:
            alone = {
                "strategy": "one",
                "devices": 1,
                "lora_rank": RANK,
            }  # FSDP does not support adapters
            found.append(
                self.change(
                    f"LoRA of rank {RANK}{' on each device' if self.needs.setup.sharded else ''}", {}, alone
                )
            )
        for who in ("sampler", "engine"):
            if self.needs.memory.moment == "write" and getattr(self.needs.setup, who) != "vllm":
                found.append(self.change(f"{who} vllm", {}, {who: "vllm"}))
        if self.learns and self.needs.setup.precision == "fp32":
            found.append(self.change("bf16", {}, {"precision": "bf16"}))
        return found

    def together(self) -> list[Change]:
        """All changes combined, on the fewest devices that fit; without LoRA, which changes the experiment."""
        if not self.learns:
            return []
        smallest: dict[str, Any] = {"microbatch": 1} if self.smaller() else {}
        what = "activation checkpointing" + (", microbatch 1" if smallest else "")
        if self.needs.setup.lora_rank or not getattr(self.node.instance, "distributed", False):
            return [self.change(what, smallest, {"checkpointing": True})]
        changes = [
            self.change(
                f"{what}, fsdp over {size} devices",
                smallest,
                {"checkpointing": True, "strategy": "fsdp", "devices": size},
            )
            for size in WORLDS
            if size >= self.needs.setup.devices
        ]
        return self.mildest(changes)

    def mildest(self, changes: list[Change]) -> list[Change]:
        """The first change that fits, else the last, as a list."""
        return [next((change for change in changes if change.fits), changes[-1])] if changes else []

    def fsdp(self, size: int) -> Change:
        return self.change(f"fsdp over {size} devices", {}, {"strategy": "fsdp", "devices": size})

    def microbatch(self, rows: int) -> Change:
        return self.change(f"microbatch {rows}", {"microbatch": rows}, {})

    def smaller(self) -> list[int]:
        """The micro-batch halved repeatedly, down to 1."""
        now = getattr(self.node.instance, "microbatch", 1)
        found = []
        while now > 1:
            now //= 2
            found.append(now)
        return found

    def change(self, what: str, settings: dict[str, Any], setup: dict[str, Any]) -> Change:
        """The stage with these settings and this setup."""
        work: Work = self.needs.work
        if settings:
            changed_work = stage_works(self.plan, self.shape.d, self.prediction.limits, settings)[
                self.needs.stage
            ]
            work = changed_work or work
        changed: Setup = replace(self.needs.setup, **setup)
        total = stage_memory(work, self.shape, changed).total
        return Change(what, settings, setup, total, total <= self.device.room)
