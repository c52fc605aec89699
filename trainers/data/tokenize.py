"""Encodes text as token rows and batches token rows. Masks are computed from lengths, never from `ids != pad`.

Letters in shapes: B batch, L tokens of prompt and response together.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rlp_bench.api import DataError

if TYPE_CHECKING:
    from torch import Tensor

SURROGATE = re.compile("[\ud800-\udfff]")
Tokenizer = Any
"""A `transformers` tokenizer; its module is not imported here because importing it takes seconds."""


@lru_cache(maxsize=16)
def adds_bos(tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer itself prepends its BOS to a text (some define a BOS but do not use it)."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("")["input_ids"][:1] == [bos]


def encode_prompt(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """Token ids of a rendered prompt, with exactly one BOS if the tokenizer uses one, and no EOS.

    No second BOS is added if the template already writes one. Special tokens of the template are encoded as such; in
    the texts inserted into it, and in a prompt that is not `Rendered`, special tokens are text (see `encode_text`).

    Raises:
        DataError: the prompt has no tokens or more than `max_tokens`; stages drop and count such rows, never truncate
            them.
    """
    ids = _encode_rendered(tokenizer, text)
    if adds_bos(tokenizer) and ids[:1] != [tokenizer.bos_token_id]:
        ids = [tokenizer.bos_token_id, *ids]
    if len(ids) > max_tokens:
        raise DataError(
            f'prompt "{shorten(text)}": {len(ids)} tokens, {len(ids) - max_tokens} more than the '
            f"{max_tokens} that prompting.max_prompt_tokens allows; raise it or drop the prompt"
        )
    if not ids:
        raise DataError(
            f'prompt "{shorten(text)}": no tokens; give the template some text before the response'
        )
    return ids


def encode_response(tokenizer: Tokenizer, text: str, finished: bool) -> list[int]:
    """Token ids of a response: no BOS, and an EOS if the response is finished."""
    ids = encode_text(tokenizer, text)
    return [*ids, tokenizer.eos_token_id] if finished else ids


def encode_text(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text without special tokens: one that is written in it, such as "</s>", is encoded as text."""
    text = encodable(text)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    special = special_ids(tokenizer)
    if special.isdisjoint(ids):
        return ids
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    if special.isdisjoint(ids):
        return ids
    # A word-level vocabulary may have the token's text as a word.
    unknown = [] if tokenizer.unk_token_id is None else [tokenizer.unk_token_id]
    return [one for token in ids for one in (unknown if token in special else [token])]


def encodable(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which no tokenizer takes, as endpoints get it; of the same length."""
    return SURROGATE.sub("\ufffd", text)


def _encode_rendered(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a rendered prompt, with the special tokens of its template only."""
    inserted = getattr(text, "inserted", None)
    text = encodable(text)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    special = special_ids(tokenizer)
    if inserted is None:
        begin = tokenizer.bos_token if adds_bos(tokenizer) else None
        inserted = ((len(begin) if begin and text.startswith(begin) else 0, len(text)),)
    texts = [text[start:end] for start, end in inserted]
    if special.isdisjoint(ids) or all(
        special.isdisjoint(tokenizer.encode(one, add_special_tokens=False)) for one in texts
    ):
        return ids
    found: list[int] = []
    last = 0
    for match in special_pattern(tokenizer).finditer(text):
        if any(start < match.end() and match.start() < end for start, end in inserted):
            continue
        found += encode_text(tokenizer, text[last : match.start()])
        found.append(tokenizer.convert_tokens_to_ids(match[0]))
        last = match.end()
    return found + encode_text(tokenizer, text[last:])


def count_special_texts(tokenizer: Tokenizer, *texts: str) -> int:
    """How many of the texts have the text of a special token in them."""
    return sum(special_pattern(tokenizer).search(text) is not None for text in texts)


@lru_cache(maxsize=16)
def special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids of all special tokens but the unknown token, which text that is not in the vocabulary becomes."""
    added = {token for token, one in tokenizer.added_tokens_decoder.items() if one.special}
    return frozenset(added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}


@lru_cache(maxsize=16)
def special_pattern(tokenizer: Tokenizer) -> re.Pattern[str]:
    """Matches the texts of `special_ids`, the longest first."""
    names = sorted(
        tokenizer.convert_ids_to_tokens(sorted(special_ids(tokenizer))), key=lambda name: -len(name)
    )
    return re.compile("|".join(map(re.escape, names)) or "(?!)")


def right_pad(rows: list[list[int]], pad_id: int) -> "tuple[Tensor, Tensor]":
    """Rows padded on the right to the length of the longest.

    Returns:
        ids (B, L) int64 and mask (B, L) bool, True on real tokens.
    """
    import numpy as np
    import torch

    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max(initial=0))[None, :] < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = [token for row in rows for token in row]
    return torch.from_numpy(ids), torch.from_numpy(mask)


def length_sorted_batches(lengths: list[int], batch: int) -> list[list[int]]:
    """Indices of all rows in batches of similar length, longest first, so that out-of-memory errors come early."""
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def shorten(text: str, width: int = 60) -> str:
    """The text on one line, truncated to `width` characters, for an error message."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."
