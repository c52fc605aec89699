"""Tokens a second of `rollout` against transformers `generate`, on the same weights and prompts."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comparison import clocked, compare
from models import random_llama

from rlp_bench import micro
from rlp_bench.api.types import Decoding, Prompting
from rlp_bench.trainers.data.tokenize import encode_prompt
from rlp_bench.trainers.generation.rollout import Rollouts, rollout
from rlp_bench.trainers.modeling.checkpoints import load_policy

BATCH = 256
"""Prompts of one call of `generate`; its best of 64, 128, 256 on fixed length (docs/performance.md)."""


def generate(
    model: Any, prompts: list[list[int]], new_tokens: int, eos: int | None, batch: int = BATCH
) -> int:
    """transformers `generate`, plain sampling from a left-padded batch; the number of response tokens."""
    from transformers import GenerationConfig

    config = GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=new_tokens, pad_token_id=0, eos_token_id=eos
    )
    made = 0
    for start in range(0, len(prompts), batch):
        rows = prompts[start : start + batch]
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            answers = model.generate(ids, attention_mask=mask, generation_config=config)[:, longest:]
        made += answers.numel() if eos is None else int((answers != 0).sum())
    return made


def answered(drawn: Rollouts) -> int:
    """Response tokens, EOS included."""
    return int(drawn.response_mask.sum())


@pytest.fixture(scope="module")
def world_prompts() -> list[list[int]]:
    tokenizer = load_policy(micro.base_path())[1]
    prompting = Prompting(template=micro.PROMPT_TEMPLATE)
    instructions = micro.load_world().prompts("unlabeled", 512)
    return [
        encode_prompt(tokenizer, prompting.render(text), micro.MAX_PROMPT_TOKENS) for text in instructions
    ]


def endless(model: Any) -> Any:
    """A tokenizer whose EOS no model can say, so that every response has full length."""
    model.generation_config.eos_token_id = None
    return SimpleNamespace(eos_token_id=-1, pad_token_id=0)


def test_fixed_length_at_width_128(benchmark: Any, lines: list[str]) -> None:
    model = random_llama(128, 456)
    prompts = torch.randint(3, 456, (256, 9), generator=torch.Generator().manual_seed(0)).tolist()
    compare(
        benchmark, lines, "d=128, 256 prompts x 32 tokens", "tokens",
        clocked(lambda: answered(rollout(model, endless(model), prompts, Decoding(max_response_tokens=32), 0))),
        clocked(lambda: generate(model, prompts, 32, None)),
    )  # fmt: skip


def test_fixed_length_at_micro_size(benchmark: Any, lines: list[str], world_prompts: list[list[int]]) -> None:
    model, _ = load_policy(micro.base_path())
    prompts, tokens = world_prompts[:256], micro.MAX_RESPONSE_TOKENS
    decoding = Decoding(max_response_tokens=tokens)
    compare(
        benchmark, lines, "micro, 256 world prompts x 48 tokens", "tokens",
        clocked(lambda: answered(rollout(model, endless(model), prompts, decoding, 0))),
        clocked(lambda: generate(model, prompts, tokens, None)),
    )  # fmt: skip


@pytest.mark.parametrize("batch", [128, 256])
def test_mixed_lengths_at_micro_size(
    benchmark: Any, lines: list[str], world_prompts: list[list[int]], batch: int
) -> None:
    model, tokenizer = load_policy(micro.base_path())
    decoding = Decoding(max_response_tokens=micro.MAX_RESPONSE_TOKENS)
    compare(
        benchmark, lines, f"micro, 512 world prompts to EOS, peer batch {batch}", "tokens",
        clocked(lambda: answered(rollout(model, tokenizer, world_prompts, decoding, 0))),
        clocked(lambda: generate(model, world_prompts, decoding.max_response_tokens, tokenizer.eos_token_id, batch)),
    )  # fmt: skip
