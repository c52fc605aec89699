"""Encodes text as token rows and batches token rows. Masks are computed from lengths, never from `ids != pad`.

Letters in shapes: B batch, L tokens of prompt and response together.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rlp_bench.api import DataError

if TYPE_CHECKING:
    from torch import Tensor

Tokenizer = Any
"""A `transformers` tokenizer; its module is not imported here because importing it takes seconds."""


@lru_cache(maxsize=16)
def adds_bos(tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer itself prepends its BOS to a text (some define a BOS but do not use it)."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("")["input_ids"][:1] == [bos]


def encode_prompt(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """Token ids of a rendered prompt, with exactly one BOS if the tokenizer uses one, and no EOS.

    No second BOS is added if the template already writes one.

    Raises:
        DataError: the prompt has no tokens or more than `max_tokens`; stages drop and count such rows, never truncate
            them.
    """
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
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
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return [*ids, tokenizer.eos_token_id] if finished else ids


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
