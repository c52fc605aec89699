"""Samples a second of the PPO stage against TRL 1.12's PPOTrainer, the last TRL that has one.

The peer is installed beside ours: `pip install --no-deps --target DIR trl==1.12.0`, then RLP_BENCH_TRL_PPO=DIR.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from comparison import Timing, compare
from models import wide_checkpoint, wide_text
from stage_runs import rows_artifact, run_stage

from rlp_bench import micro
from rlp_bench.api.types import Artifact, Prompting
from rlp_bench.trainers.data.tokenize import encode_prompt
from rlp_bench.trainers.modeling.checkpoints import RewardInfo, load_policy, new_reward, save_model
from rlp_bench.trainers.ppo.trainer import PPO

PEER = os.environ.get("RLP_BENCH_TRL_PPO", "")
pytestmark = pytest.mark.skipif(
    not Path(PEER, "trl", "experimental", "ppo").is_dir(),
    reason="RLP_BENCH_TRL_PPO names no folder with TRL 1.12: pip install --no-deps --target DIR trl==1.12.0",
)
STEPS = 8


def reward_folder(policy: Path, folder: Path) -> Path:
    """A reward model with a fresh head: what it likes does not change what it costs."""
    save_model(*new_reward(policy, 0), folder)
    RewardInfo(eos=True, mean=0.0, std=0.02).write(folder)
    return folder


def both(
    folder: Path, policy: Path, texts: list[str], prompting: Prompting, batch: int, minibatch: int,
    epochs: int, ends: bool,
) -> tuple[Any, Any]:  # fmt: skip
    """(ours, peer) on the same checkpoints, prompts and sizes."""
    reward = reward_folder(policy, folder / "reward")
    inputs = {
        "init": Artifact("policy", "0" * 64, policy),
        "reward": Artifact("reward", "0" * 64, reward),
        "prompts": rows_artifact(
            "prompts", folder / "prompts", [{"instruction": text, "input": ""} for text in texts]
        ),
    }
    stage = PPO(
        rollouts=STEPS, rollout_batch=batch, minibatch=minibatch, microbatch=min(32, minibatch), epochs=epochs,
        learning_rate=3e-4, schedule="constant", beta=0.1,
    )  # fmt: skip
    tokenizer = load_policy(policy)[1]
    settings = {
        "policy": str(policy), "reward": str(reward), "batch": batch, "minibatch": minibatch, "epochs": epochs,
        "steps": STEPS, "response_tokens": prompting.max_response_tokens, "stop_token": "eos" if ends else None,
        "forward_batch": batch,
        "prompts": [encode_prompt(tokenizer, prompting.render(text), 64) for text in texts],
    }  # fmt: skip
    file = folder / "settings.json"
    file.write_text(json.dumps(settings))

    def peer() -> Timing:
        run = subprocess.run(
            [sys.executable, Path(__file__).with_name("trl_ppo_peer.py"), file],
            env={**os.environ, "PYTHONPATH": PEER}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-2000:]
        samples, wall, cpu = json.loads(run.stdout.strip().splitlines()[-1])
        return samples, wall, cpu

    return lambda: run_stage(stage, inputs, prompting, batch), peer


def test_ppo_at_width_128_and_fixed_length(benchmark: Any, lines: list[str], tmp_path: Path) -> None:
    policy = wide_checkpoint(tmp_path / "policy", eos_beyond=True)
    ours, peer = both(
        tmp_path, policy, [wide_text(32, seed) for seed in range(64 * STEPS)],
        Prompting("{instruction}", "", 32, 32), batch=64, minibatch=16, epochs=1, ends=False,
    )  # fmt: skip
    compare(
        benchmark, lines, "ppo, d=128, 64 x (32 + 32 tokens), 4 updates", "samples", ours, peer,
        rounds=3, warm_up=False,
    )  # fmt: skip


def test_ppo_at_micro_size_to_eos(benchmark: Any, lines: list[str], tmp_path: Path) -> None:
    prompting = Prompting(micro.PROMPT_TEMPLATE, "", micro.MAX_PROMPT_TOKENS, micro.MAX_RESPONSE_TOKENS)
    ours, peer = both(
        tmp_path, micro.base_path(), micro.load_world().prompts("unlabeled", 128 * STEPS), prompting,
        batch=128, minibatch=64, epochs=2, ends=True,
    )  # fmt: skip
    compare(
        benchmark, lines, "ppo, micro, 128 world prompts to EOS, 4 updates", "samples", ours, peer,
        rounds=3, warm_up=False,
    )  # fmt: skip
