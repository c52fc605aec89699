"""Encodes rows of an artifact as token ids; rows that do not fit are dropped and counted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlp_bench.api import DataError, Prompting

from .row_accounting import RowAccount
from .tokenize import count_special_texts, encode_prompt
from .tokenizer import load_tokenizer

SPECIAL_TEXTS = "special_token_texts"
"""Metric: texts of a stage that have a special token's text in them, which is encoded as text."""


def encode_prompts(
    rows: Sequence[Mapping[str, Any]], tokenizer: Any, prompting: Prompting, account: RowAccount
) -> Iterator[tuple[Mapping[str, Any], list[int]]]:
    """(row, prompt tokens) of every row whose rendered prompt fits; the others are counted as `prompt_too_long`."""
    for row in rows:
        text = prompting.render(row["instruction"], row.get("input", ""))
        try:
            ids = encode_prompt(tokenizer, text, prompting.max_prompt_tokens)
        except DataError:
            account.drop("prompt_too_long")
            continue
        asked = row["instruction"], row.get("input", "")
        account.count(SPECIAL_TEXTS, count_special_texts(tokenizer, *asked))
        yield row, ids


def fitting_rows(
    rows: Sequence[Mapping[str, Any]], policy: Any, prompting: Prompting, account: RowAccount
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The rows whose prompt fits, by the tokenizer of the checkpoint folder `policy`, and their rendered prompts."""
    tokenizer = load_tokenizer(policy)
    kept = [row for row, _ in encode_prompts(rows, tokenizer, prompting, account)]
    return kept, [prompting.render(row["instruction"], row.get("input", "")) for row in kept]
