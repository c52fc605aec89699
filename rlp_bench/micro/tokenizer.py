"""The word-level tokenizer of the micro world, and its prompt template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from . import grammar, tasks
from . import lexicon as lx

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Prompt template of an instruction; the response follows, then EOS.
PROMPT_TEMPLATE = f"{lx.USER} {{instruction}} {lx.ASSISTANT}"
MAX_PROMPT_TOKENS = 32  # template included
MAX_RESPONSE_TOKENS = 48  # EOS included; the expert's longest answers have about 42 tokens


#: Words used only in pre-training text.
CORPUS_WORDS = "story : in check correct incorrect"


def base_path() -> Path:
    """The folder of the shipped base model, a Hugging Face checkpoint with tokenizer."""
    return Path(__file__).parent / "base"


def vocabulary() -> list[str]:
    """All words of the micro world in a fixed order, special tokens first."""
    templates = [w for wordings in tasks.WORDINGS.values() for w in wordings]
    sentences = [
        *(re.sub(r"\{\w+\}", " ", t) for t in templates),
        *tasks.OPENINGS,
        *tasks.CLOSINGS,
        *lx.FILLERS,
        *grammar.YES,
        *grammar.NO,
        *(" ".join(p) for p in grammar.PROPOSALS),
        *(lx.phrase(v) for v in lx.ATTRIBUTE_OF),
        "the of it its is are both they have same a good choice than but while because , and . ! ? -",
        " ".join(lx.COMPARATIVES),
        " ".join(lx.NUMBERS),
        " ".join(lx.ATTRIBUTES),
        " ".join(lx.PLURALS.values()),
        " ".join(lx.RATINGS),
        CORPUS_WORDS,
    ]
    words = {word for sentence in sentences for word in sentence.split()} | set(lx.CATEGORY_OF)
    return [lx.PAD, lx.EOS, lx.UNK, lx.USER, lx.ASSISTANT, *sorted(words)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer; splits on whitespace and joins with single spaces, so that texts round-trip."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary())}, unk_token=lx.UNK))
    core.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=lx.PAD,
        eos_token=lx.EOS,
        unk_token=lx.UNK,
        padding_side="left",
        model_max_length=MAX_PROMPT_TOKENS + MAX_RESPONSE_TOKENS + 48,
        clean_up_tokenization_spaces=False,
    )
