"""Our stages, run through their public `train` as the harness does, with a clock for a progress display."""

import tempfile
from pathlib import Path
from typing import Any

from comparison import Stamps, Timing

from rlp_bench.api.files import write_jsonl
from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, Prompting


class SilentMeter:
    """Counts nothing."""

    def count(self, **amounts: float) -> None:
        """Does nothing."""


def run_stage(stage: Any, inputs: dict[str, Any], prompting: Prompting, units_a_step: float) -> Timing:
    """Units of work and seconds of a stage's training loop, first steps excluded."""
    stamps = Stamps()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        context = Context(
            seed=0, device="cpu", prompting=prompting, scratch=Path(folder) / "scratch", progress=stamps,
            meter=SilentMeter(), engine=None,
        )  # fmt: skip
        stage.train(inputs, out, context)
    return stamps.timing(units_a_step)


def rows_artifact(kind: str, folder: Path, rows: list[dict[str, Any]]) -> Artifact:
    """An artifact of rows."""
    folder.mkdir()
    write_jsonl(folder / "rows.jsonl", rows)
    return Artifact(kind, "0" * 64, folder)


def clock_of(trainer: Any, units_a_step: float) -> Timing:
    """The same of a `transformers` Trainer: clocks are read whenever a step has ended."""
    from transformers import TrainerCallback

    stamps = Stamps()

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps()

    trainer.add_callback(Clock())
    trainer.train()
    return stamps.timing(units_a_step)


def plain_arguments(out: str) -> dict[str, Any]:
    """Arguments under which TRL trains as we do: fp32, CPU, Adam without decay, cosine, nothing written or shown."""
    return {
        "output_dir": out, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none",
        "logging_strategy": "no", "save_strategy": "no", "disable_tqdm": True, "weight_decay": 0.0,
        "lr_scheduler_type": "cosine", "warmup_steps": 0.03, "max_grad_norm": 1.0, "num_train_epochs": 1, "seed": 0,
    }  # fmt: skip
