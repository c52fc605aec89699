"""A tiny random Llama with a word-level tokenizer, a meter, an annotator: what the tests of stages are made of."""

from collections import Counter
from pathlib import Path

from rlp_bench.api.types import Pair, Prompting, Verdict

WORDS = [
    "ask",
    "what",
    "is",
    "the",
    "fox",
    "owl",
    "red",
    "blue",
    "big",
    "small",
    "good",
    "bad",
    "yes",
    "no",
    "and",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    ":",
    ".",
]
PROMPTING = Prompting("ask {instruction} :", max_prompt_tokens=8, max_response_tokens=6)


def make_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def make_policy(folder: Path, seed: int = 0, spread: float = 0.3) -> Path:
    """A checkpoint of two layers and 16 dimensions; `spread` makes its distribution far from uniform."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        initializer_range=spread,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class CountingMeter(Counter):
    """A meter that only counts."""

    def count(self, **amounts):
        self.update(amounts)


class PrefersLonger:
    """An annotator for tests: the longer text wins, equal lengths tie, and "no" gets no verdict."""

    name, version = "prefers_longer", "1"

    def manifest(self):
        return {}

    def judge(self, pairs: list[Pair], seed: int = 0) -> list[Verdict]:
        return [self._one(pair) for pair in pairs]

    def _one(self, pair):
        if "no" in (pair.first.split() + pair.second.split()):
            return Verdict(None, "unparsed")
        a, b = len(pair.first.split()), len(pair.second.split())
        return Verdict(0.5 if a == b else float(a > b))


def preference(instruction, chosen, rejected, finished=(True, True), source="annotator"):
    return {
        "instruction": instruction,
        "input": "",
        "chosen": chosen,
        "rejected": rejected,
        "chosen_finished": finished[0],
        "rejected_finished": finished[1],
        "source": source,
        "annotator": "test",
    }


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but the meter's, by relative name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
