"""How well `rlp-bench plan`'s FLOPs say how long a stage takes: a rate measured at one size, another size predicted.

By the CPU clock, so that a busy machine moves it less. Prints predicted and measured seconds; fails beyond 30 %.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from models import wide_text
from stage_runs import SilentMeter, rows_artifact

from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, Prompting
from rlp_bench.plan.estimate.flops import stage_amount
from rlp_bench.plan.estimate.memory import Setup
from rlp_bench.plan.estimate.shapes import read_folder
from rlp_bench.plan.estimate.workload import read_work
from rlp_bench.trainers.modeling.checkpoints import RewardInfo, new_reward, save_model
from rlp_bench.trainers.policies.sft.trainer import SupervisedFineTuning
from rlp_bench.trainers.ppo.trainer import PPO

PROMPT, RESPONSE = 24, 40
SIZES = ((256, 4), (256, 6), (384, 4))
"""Width and layers; the first gives the rate."""
TOLERANCE = 0.3
WORDS = 1000


def base(folder: Path, width: int, layers: int) -> Path:
    """A random Llama with a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2, **{f"w{token}": token for token in range(3, WORDS)}}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=width, intermediate_size=11 * width // 4, num_hidden_layers=layers,
        num_attention_heads=4, max_position_embeddings=128, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    ).save_pretrained(folder)
    return folder


def sft(root: Path, policy: Path) -> tuple[Any, dict[str, Any], int]:
    rows = [
        {"instruction": wide_text(PROMPT, n), "input": "", "response": wide_text(RESPONSE - 1, -n)}
        for n in range(64)
    ]
    inputs = {"init": Artifact("policy", "0" * 64, policy)}
    inputs["demonstrations"] = rows_artifact("demonstrations", root / "rows", rows)
    return SupervisedFineTuning(epochs=1, batch=16, microbatch=8), inputs, len(rows)


def ppo(root: Path, policy: Path) -> tuple[Any, dict[str, Any], int]:
    save_model(*new_reward(policy, 0), root / "reward")
    RewardInfo(eos=True, mean=0.0, std=1.0).write(root / "reward")
    rows = [{"instruction": wide_text(PROMPT, n), "input": ""} for n in range(64)]
    inputs = {
        "init": Artifact("policy", "0" * 64, policy),
        "reward": Artifact("reward", "1" * 64, root / "reward"),
    }
    inputs["prompts"] = rows_artifact("prompts", root / "rows", rows)
    return PPO(rollouts=2, rollout_batch=32, minibatch=16, microbatch=8), inputs, len(rows)


def flops_and_seconds(stage_of: Any, width: int, layers: int) -> tuple[float, float]:
    """Predicted FLOPs of a stage, and the CPU seconds of the fastest of three runs."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        policy = base(root / "base", width, layers)
        stage, inputs, rows = stage_of(root, policy)
        given = {
            "rows": {name: [rows] for name in inputs},
            "responses": {},
            "prompt": PROMPT,
            "response": RESPONSE,
        }
        work = read_work(stage.work({**given, "hidden": width}), stage.name)
        seconds = []
        for turn in range(3):
            out = root / f"out-{turn}"
            out.mkdir()
            context = Context(
                seed=0, device="cpu", prompting=Prompting("{instruction}", "", PROMPT, RESPONSE),
                scratch=root / f"scratch-{turn}", progress=lambda *_: None, meter=SilentMeter(), engine=None,
            )  # fmt: skip
            began = time.process_time()
            stage.train(inputs, out, context)
            seconds.append(time.process_time() - began)
        return stage_amount(work, read_folder(policy), Setup()).flops, min(seconds)


@pytest.mark.parametrize("stage_of", [sft, ppo])
def test_time_of_another_size_follows_from_a_measured_rate(stage_of: Any, lines: list[str]) -> None:
    flops_and_seconds(stage_of, 64, 2)  # imports, first allocations
    flops, seconds = flops_and_seconds(stage_of, *SIZES[0])
    rate = flops / seconds
    for width, layers in SIZES[1:]:
        flops, measured = flops_and_seconds(stage_of, width, layers)
        lines.append(
            f"{stage_of.__name__}, width {width}, {layers} layers: predicted {flops / rate:.2f} s at "
            f"{rate / 1e9:.1f} GFLOP/s, measured {measured:.2f} s, ratio {flops / rate / measured:.2f}"
        )
        assert flops / rate == pytest.approx(measured, rel=TOLERANCE)
