"""Tiny models of several architectures with one tokenizer, for the tests of generation."""

from pathlib import Path
from typing import Any

from tiny import make_tokenizer

ARCHITECTURES = ("llama", "grouped", "gpt2", "qwen2")
"""Llama (lean decoder), Llama with shared key-value heads (lean), learnt positions, biases in the attention."""


def make_model(kind: str, seed: int = 0, spread: float = 0.2) -> Any:
    """A random causal model of two layers in eval mode; `spread` makes its distribution far from uniform."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    torch.manual_seed(seed)
    common = {"vocab_size": len(make_tokenizer()), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    llama = dict(
        common, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=96, initializer_range=spread,
    )  # fmt: skip
    if kind == "gpt2":
        config = GPT2Config(
            **common, n_embd=32, n_layer=2, n_head=4, n_positions=96, initializer_range=spread
        )
        return GPT2LMHeadModel(config).eval()
    if kind == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**llama, num_key_value_heads=2)).eval()
    return LlamaForCausalLM(LlamaConfig(**llama, num_key_value_heads=2 if kind == "grouped" else 4)).eval()


def make_checkpoint(folder: Path, kind: str = "llama", seed: int = 0) -> Path:
    """A policy folder."""
    make_model(kind, seed).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def some_prompts(count: int, longest: int = 12, seed: int = 0) -> list[list[int]]:
    """Token rows of 1 to `longest` tokens, none of them pad or EOS."""
    import numpy as np

    draw = np.random.default_rng(seed)
    vocabulary = len(make_tokenizer())
    return [draw.integers(2, vocabulary, draw.integers(1, longest + 1)).tolist() for _ in range(count)]
