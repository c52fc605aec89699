"""Pairs a second of the reward stage against TRL's RewardTrainer: same model, pairs, batch, optimiser."""

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from comparison import Timing, compare
from models import wide_checkpoint, wide_text
from stage_runs import clock_of, plain_arguments, rows_artifact, run_stage

from rlp_bench import micro
from rlp_bench.api.types import Artifact, Prompting
from rlp_bench.trainers.modeling.checkpoints import new_reward
from rlp_bench.trainers.reward.trainer import RewardModel

pytest.importorskip("trl", reason="TRL is not installed; pip install rlp-bench[trl]")


def preference(instruction: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "instruction": instruction, "input": "", "chosen": chosen, "rejected": rejected, "chosen_finished": True,
        "rejected_finished": True, "source": "annotator", "annotator": "",
    }  # fmt: skip


def ours(policy: Path, rows: list[dict[str, Any]], prompting: Prompting, folder: Path, batch: int) -> Any:
    preferences = rows_artifact("preferences", folder / f"rows-{batch}", rows)
    inputs = {"init": Artifact("policy", "0" * 64, policy), "preferences": preferences}
    stage = RewardModel(batch=batch, learning_rate=1e-3, heldout=1e-9)
    return lambda: run_stage(stage, inputs, prompting, batch)


def theirs(policy: Path, rows: list[dict[str, Any]], prompting: Prompting, batch: int) -> Any:
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    texts = [
        {side: f"{prompting.render(row['instruction'])} {row[side]}" for side in ("chosen", "rejected")}
        for row in rows
    ]

    def run() -> Timing:
        model, tokenizer = new_reward(policy, 0)
        with tempfile.TemporaryDirectory() as out:
            arguments = RewardConfig(
                **plain_arguments(out), per_device_train_batch_size=batch, learning_rate=1e-3, max_length=128
            )
            trainer = RewardTrainer(
                model=model,
                args=arguments,
                train_dataset=Dataset.from_list(texts),
                processing_class=tokenizer,
            )
            return clock_of(trainer, batch)

    return run


def test_reward_model_at_width_128(benchmark: Any, lines: list[str], tmp_path: Path) -> None:
    policy, prompting = wide_checkpoint(tmp_path / "policy"), Prompting("{instruction}")
    rows = [preference(*(wide_text(words, 3 * row + part) for part, words in enumerate((32, 31, 31))))
            for row in range(64 * 13 + 1)]  # fmt: skip
    compare(
        benchmark, lines, "reward model, d=128, 64 pairs of 2 x 64 tokens", "pairs",
        ours(policy, rows, prompting, tmp_path, 64), theirs(policy, rows, prompting, 64), rounds=3, warm_up=False,
    )  # fmt: skip


def test_reward_model_at_micro_size(benchmark: Any, lines: list[str], tmp_path: Path) -> None:
    prompting = Prompting(micro.PROMPT_TEMPLATE, "", micro.MAX_PROMPT_TOKENS, micro.MAX_RESPONSE_TOKENS)
    told = micro.load_world().demonstrations(32 * 40 + 2)
    rows = [
        preference(instruction, response, other) for (instruction, response), (_, other) in pairwise(told)
    ]
    compare(
        benchmark, lines, "reward model, micro, 32 pairs of world texts", "pairs",
        ours(micro.base_path(), rows, prompting, tmp_path, 32),
        theirs(micro.base_path(), rows, prompting, 32), rounds=3, warm_up=False,
    )  # fmt: skip
