"""Demonstrations a second of the SFT stage against TRL's SFTTrainer: why the stage has a loop of its own."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from comparison import Timing, compare
from stage_runs import clock_of, plain_arguments, rows_artifact, run_stage

from rlp_bench import micro
from rlp_bench.api.types import Artifact, Prompting
from rlp_bench.trainers.modeling.checkpoints import load_policy
from rlp_bench.trainers.policies.sft.trainer import SupervisedFineTuning

pytest.importorskip("trl", reason="TRL is not installed; pip install rlp-bench[trl]")

BATCH = 32


def test_sft_at_micro_size(benchmark: Any, lines: list[str], tmp_path: Path) -> None:
    prompting = Prompting(micro.PROMPT_TEMPLATE, "", micro.MAX_PROMPT_TOKENS, micro.MAX_RESPONSE_TOKENS)
    told = micro.load_world().demonstrations(BATCH * 60)
    rows = [{"instruction": asked, "input": "", "response": answer} for asked, answer in told]
    demonstrations = rows_artifact("demonstrations", tmp_path / "rows", rows)
    inputs = {"init": Artifact("policy", "0" * 64, micro.base_path()), "demonstrations": demonstrations}
    stage = SupervisedFineTuning(batch=BATCH, learning_rate=1e-3, epochs=1)
    texts = [
        {"prompt": prompting.render(row["instruction"]), "completion": " " + row["response"]} for row in rows
    ]

    def theirs() -> Timing:
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        model, tokenizer = load_policy(micro.base_path())
        with tempfile.TemporaryDirectory() as out:
            arguments = SFTConfig(
                **plain_arguments(out), per_device_train_batch_size=BATCH, learning_rate=1e-3, max_length=128
            )
            trainer = SFTTrainer(
                model=model,
                args=arguments,
                train_dataset=Dataset.from_list(texts),
                processing_class=tokenizer,
            )
            return clock_of(trainer, BATCH)

    compare(
        benchmark, lines, "sft, micro, 32 demonstrations a step", "rows",
        lambda: run_stage(stage, inputs, prompting, BATCH), theirs, rounds=3, warm_up=False,
    )  # fmt: skip
