"""Log-likelihood of given continuations of a prompt, tokenized as in lm-evaluation-harness.

Prompt and choice are encoded as one text, and the choice's tokens are those after the prompt's own: a SentencePiece
tokenizer encodes " A" by itself differently than after "Answer:". If every choice is one token, as the letters of a
multiple-choice question are, one forward pass on the prompt scores all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlp_bench.api import DataError

from ..data.tokenize import Tokenizer, encode_prompt, shorten
from .rollout import make_decoder
from .scoring import logprob_batch

NO_LIMIT = 2**31


@dataclass(frozen=True)
class ChoiceRow:
    """Token ids of one prompt and of its choices."""

    prompt: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]
    cut: int
    """Number of tokens truncated from the left of the prompt."""


def choice_rows(
    tokenizer: Tokenizer, prompts: Sequence[str], choices: Sequence[Sequence[str]], context: int
) -> list[ChoiceRow]:
    """The token rows; a prompt that does not fit the context with its longest choice is truncated from the left.

    As in lm-evaluation-harness, whose input is the last `context` tokens before a choice's last one. Departs: all
    choices of a prompt get the same truncated prompt, also if they have several tokens.

    Raises:
        DataError: a choice adds no token to the prompt's.
    """
    rows = []
    for prompt, texts in zip(prompts, choices, strict=True):
        before = encode_prompt(tokenizer, prompt, NO_LIMIT)
        after = [_behind(tokenizer, before, prompt, text) for text in texts]
        longest = max(map(len, after))
        room = context if longest == 1 else context - longest
        cut = max(0, len(before) - room)
        rows.append(ChoiceRow(tuple(before[cut:]), tuple(map(tuple, after)), cut))
    return rows


def _behind(tokenizer: Tokenizer, before: list[int], prompt: str, text: str) -> list[int]:
    found = encode_prompt(tokenizer, prompt + text, NO_LIMIT)[len(before) :]
    if not found:
        raise DataError(
            f'choice "{shorten(text)}": adds no token after "{shorten(prompt[-30:])}"; expected at least one to score '
            "by likelihood; change the choice or the prompt"
        )
    return found


def choice_batches(rows: Sequence[ChoiceRow], most_rows: int, most_tokens: int) -> list[list[int]]:
    """Indices of all rows, longest first, in batches of at most `most_rows` rows and `most_tokens` padded tokens."""
    order = sorted(range(len(rows)), key=lambda row: (-len(rows[row].prompt), row))
    batches: list[list[int]] = []
    for row in order:
        last = batches[-1] if batches else []
        longest = len(rows[last[0]].prompt) if last else 0
        if not last or len(last) == most_rows or (len(last) + 1) * longest > most_tokens:
            batches.append([row])
        else:
            last.append(row)
    return batches


def choice_logprobs(model: Any, rows: Sequence[ChoiceRow], pad_id: int) -> list[list[float]]:
    """Log-probability (nats, temperature 1) of every choice of every row."""
    if any(len(choice) > 1 for row in rows for choice in row.choices):
        flat = [(list(row.prompt), list(choice)) for row in rows for choice in row.choices]
        found = iter(logprob_batch(model, flat, pad_id))
        return [[next(found) for _ in row.choices] for row in rows]
    with torch.inference_mode():
        decoder = make_decoder(model, len(rows), max(len(row.prompt) for row in rows), 1)
        logits = decoder.fill(torch.arange(len(rows)), [list(row.prompt) for row in rows])
        logprobs = logits.cpu().double().log_softmax(-1)
    return [[float(logprobs[i, choice[0]]) for choice in row.choices] for i, row in enumerate(rows)]
