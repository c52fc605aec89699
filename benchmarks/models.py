"""Checkpoints and rows of tokens that the peers are timed on."""

import random
from pathlib import Path
from typing import Any

import torch

WIDE_WORDS = 456
"""Vocabulary of the wider model, d = 128."""


def random_llama(width: int, vocabulary: int) -> Any:
    """A random Llama of 4 layers and 4 heads that has no EOS."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=4,
        num_attention_heads=4, max_position_embeddings=128, pad_token_id=0, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def wide_checkpoint(folder: Path, eos_beyond: bool = False) -> Path:
    """A random policy of width 128 with a word-level tokenizer ("w3" is token 3).

    Args:
        eos_beyond: EOS is a token that the model does not have, so that it never ends a response.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<unk>": 2, **{f"w{token}": token for token in range(3, WIDE_WORDS)}}
    words["<eos>"] = WIDE_WORDS if eos_beyond else 1
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    model = random_llama(128, WIDE_WORDS)
    model.config.eos_token_id = None if eos_beyond else 1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def wide_text(words: int, seed: int) -> str:
    """So many random words of the wider model's vocabulary."""
    draw = random.Random(seed)
    return " ".join(f"w{draw.randrange(3, WIDE_WORDS)}" for _ in range(words))
