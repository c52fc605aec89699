"""Scores of two responses to one prompt that compute the prompt once.

The chosen and the rejected row share a prefix. They are concatenated as [prompt | chosen | rejected], with positions
that restart for the rejected response and a mask that hides the chosen one from it. This saves a quarter of the tokens
if all three are of equal length. Letters: B pairs, L tokens of prompt and both responses.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..data.tokenize import length_sorted_batches, right_pad
from .forward import hidden_states, scalar_scores, scored_states

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Rows = Sequence[list[int]]


def pair_scores(
    model: "PreTrainedModel", chosen: Rows, rejected: Rows, pad_id: int, microbatch: int
) -> tuple[Tensor, Tensor]:
    """Scores (B,) of the chosen and of the rejected rows, as `scalar_scores` up to rounding. Differentiable.

    Args:
        chosen, rejected: B token rows each, prompt included; their common prefix is computed once.
        microbatch: pairs per forward pass, of similar length; affects memory and speed only.
    """
    if not shares_beginnings(model):
        scores = row_scores(model, [*chosen, *rejected], pad_id, 2 * microbatch)
        return scores[: len(chosen)], scores[len(chosen) :]
    scores = _pairs(chosen, rejected, microbatch, lambda pairs: _together(model, pairs, pad_id))
    return scores[:, 0], scores[:, 1]


def pair_states(
    model: "PreTrainedModel", first: Rows, second: Rows, pad_id: int, microbatch: int
) -> tuple[Tensor, Tensor]:
    """(B, d) hidden states of the first and of the second rows, at the tokens where `pair_scores` reads scores."""
    if not shares_beginnings(model):
        states = row_states(model, [*first, *second], pad_id, 2 * microbatch)
        return states[: len(first)], states[len(first) :]
    states = _pairs(first, second, microbatch, lambda pairs: _states_together(model, pairs, pad_id))
    return states[:, 0], states[:, 1]


Pairs = list[tuple[list[int], list[int], int]]
"""(first row, second row, length of their common prefix)."""


def _pairs(first: Rows, second: Rows, microbatch: int, read: Callable[[Pairs], Tensor]) -> Tensor:
    """(B, 2, ...) results of `read` on batches of pairs of similar length, in the order given."""
    common = [shared_tokens(one, two) for one, two in zip(first, second, strict=True)]
    lengths = [len(one) + len(two) - both for one, two, both in zip(first, second, common, strict=True)]
    order: list[int] = []
    parts = []
    for batch in length_sorted_batches(lengths, microbatch):
        parts.append(read([(first[row], second[row], common[row]) for row in batch]))
        order += batch
    return torch.cat(parts)[torch.tensor(order).argsort()]


def shared_tokens(first: list[int], second: list[int]) -> int:
    """Length of the common prefix of two rows."""
    differ = (place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(differ, min(len(first), len(second)))


def _together(model: Any, pairs: Pairs, pad_id: int) -> Tensor:
    """(B, 2) scores of (chosen, rejected, common prefix length)."""
    return model.score(_states_together(model, pairs, pad_id)).squeeze(-1)


def _states_together(model: Any, pairs: Pairs, pad_id: int) -> Tensor:
    """(B, 2, d) hidden states from which scores are computed."""
    ids, mask = right_pad([one + two[both:] for one, two, both in pairs], pad_id)
    places = torch.arange(ids.shape[1])
    common = torch.tensor([both for _, _, both in pairs])[:, None]
    ends_first = torch.tensor([len(one) for one, _, _ in pairs])[:, None]
    in_second = places >= ends_first
    positions = torch.where(in_second, places - ends_first + common, places)
    of_first_alone = (places >= common) & ~in_second
    hidden = (places[None, :] > places[:, None]) | (in_second[:, :, None] & of_first_alone[:, None, :])
    bias = torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, None]
    device = model.device
    states = hidden_states(model, ids.to(device), mask.to(device), positions.to(device), bias.to(device))
    second = mask.sum(1) - 1
    # A rejected row that is itself the common prefix ends with it.
    second = torch.where(second < ends_first[:, 0], common[:, 0] - 1, second)
    last = torch.stack([ends_first[:, 0] - 1, second], dim=1).to(device)
    return states[torch.arange(len(pairs), device=device)[:, None], last]


def row_scores(model: Any, rows: Rows, pad_id: int, microbatch: int) -> Tensor:
    """(B,) scores of single rows."""
    return _rows(model, rows, pad_id, microbatch, scalar_scores)


def row_states(model: Any, rows: Rows, pad_id: int, microbatch: int) -> Tensor:
    """(B, d) hidden states of single rows, at the tokens where `row_scores` reads scores."""
    return _rows(model, rows, pad_id, microbatch, scored_states)


def _rows(
    model: Any, rows: Rows, pad_id: int, microbatch: int, read: Callable[[Any, Tensor, Tensor], Tensor]
) -> Tensor:
    """(B, ...) results of `read` on batches of rows of similar length, in the order given."""
    order: list[int] = []
    parts = []
    for batch in length_sorted_batches([len(row) for row in rows], microbatch):
        ids, mask = right_pad([rows[row] for row in batch], pad_id)
        parts.append(read(model, ids.to(model.device), mask.to(model.device)))
        order += batch
    return torch.cat(parts)[torch.tensor(order).argsort()]


_SHARES: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def shares_beginnings(model: "PreTrainedModel") -> bool:
    """Whether this architecture supports a full attention mask and positions that restart.

    Tested once per model by scoring a small batch both ways. Some architectures do not (ALiBi, sliding windows), and
    one that ignores the mask would silently give wrong scores.
    """
    if model not in _SHARES:
        training = model.training
        model.eval()
        chosen, rejected = [[2, 3, 4, 5], [3, 2]], [[2, 3, 5], [3, 4, 5, 2, 2]]
        try:
            with torch.no_grad():
                both = [shared_tokens(one, two) for one, two in zip(chosen, rejected, strict=True)]
                together = _together(model, list(zip(chosen, rejected, both, strict=True)), 0).T.flatten()
                apart = row_scores(model, [*chosen, *rejected], 0, 4)
            _SHARES[model] = torch.allclose(together, apart, rtol=1e-4, atol=1e-6)
        except (TypeError, ValueError, RuntimeError):
            _SHARES[model] = False
        model.train(training)
    return _SHARES[model]
