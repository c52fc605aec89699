"""A small base checkpoint of any text: tiny_base.py TEXTS OUT [--vocab 2048] [--hidden 64] [--layers 2] [--seed 0].

A byte-level BPE trained on every text in TEXTS (JSON list or JSON lines, plain or gzipped) and a Llama with random
weights. It knows nothing: it is for smoke runs of real texts (recipe `real_text`). The same file gives the same bytes.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from rlp_bench.api import read_json

SPECIAL = ("<pad>", "<s>", "</s>")


def texts(value: Any) -> Iterator[str]:
    """Every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def tokenizer_of(found: Iterator[str], vocab: int) -> Any:
    """A tokenizer that puts one BOS before a text, takes any byte, and has a pad token of its own."""
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(found, trainer)
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    for name, default in (("vocab", 2048), ("hidden", 64), ("layers", 2), ("context", 512), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    if given.out.exists():
        sys.exit(f'error: "{given.out}" is there already; give another folder')
    if not given.texts.is_file():
        sys.exit(f'error: "{given.texts}": there is no such file')
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = tokenizer_of(texts(read_json(given.texts, "JSON or JSON lines")), given.vocab)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=given.hidden,
        intermediate_size=given.hidden * 8 // 3,
        num_hidden_layers=given.layers,
        num_attention_heads=max(1, given.hidden // 16),
        max_position_embeddings=given.context,
        tie_word_embeddings=True,
        **{f"{name}_token_id": number for number, name in enumerate(("pad", "bos", "eos"))},
    )
    torch.manual_seed(given.seed)
    model = LlamaForCausalLM(config)
    model.save_pretrained(str(given.out))
    tokenizer.save_pretrained(str(given.out))
    print(f"{given.out}: {len(tokenizer)} tokens, {model.num_parameters()} parameters")


if __name__ == "__main__":
    main()
