"""A small folder in MMLU's layout, a tokenizer that knows every text, a tiny random Llama."""

import csv
from pathlib import Path

SUBJECTS = {"zoo_animals": 3, "colours": 2, "old_maths": 1}
"""Invented subjects and their numbers of questions."""


def make_folder(folder: Path, subjects: dict[str, int] | None = None) -> Path:
    """dev/ with five examples and test/ with so many questions of each subject; some cells look like missing values."""
    for name, count in (subjects or SUBJECTS).items():
        for split, rows in (("dev", 5), ("test", count)):
            path = folder / split / f"{name}_{split}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as out:
                csv.writer(out).writerows(row(name, split, i) for i in range(rows))
    return folder


def row(name: str, split: str, i: int) -> list[str]:
    """One question; options are words that pandas takes for numbers or nothing."""
    return [f" Which {name}, {split} {i}? ", "None", "NA", "1.50", f'say "{i}"', "ABCD"[i % 4]]


def make_tokenizer(bos: bool = True):
    """One token a byte; with `bos` it puts its BOS before every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", *letters])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    if bos:
        inner.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", padding_side="left"
    )


def make_policy(folder: Path, context: int = 1024, bos: bool = True, seed: int = 0) -> Path:
    """A checkpoint of two layers and 16 dimensions."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(bos)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.5,
    )
    model = LlamaForCausalLM(config)
    letters = tokenizer("ABCD", add_special_tokens=False).input_ids
    with torch.no_grad():
        model.lm_head.weight[letters] *= 3  # so that it often writes one of them
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
