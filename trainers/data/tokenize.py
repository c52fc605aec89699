"""Text to token rows, token rows to batches. Every mask here is made from lengths, never from `ids != pad`.

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
    """True where the tokenizer itself puts its BOS before a text (having a BOS is not yet using it)."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("")["input_ids"][:1] == [bos]


def encode_prompt(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """Token ids of a rendered prompt, with exactly one BOS if the tokenizer uses one, and no EOS.

    A template that already writes the BOS gets no second one.

    Raises:
        DataError: the prompt is longer than `max_tokens`; stages drop and count such rows, never cut them.
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
    """Token ids of a response: no BOS, and an EOS exactly where the response ended by itself."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return [*ids, tokenizer.eos_token_id] if finished else ids


def right_pad(rows: list[list[int]], pad_id: int) -> "tuple[Tensor, Tensor]":
    """Rows of one length.

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
    """Indices of all rows in batches of like length, longest first: memory runs out at once or never."""
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def shorten(text: str, width: int = 60) -> str:
    """One line of a text for an error message."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."
