"""Scores of two responses to one prompt for the price of one prompt.

A chosen and a rejected row begin alike. Put behind one another, [prompt | chosen | rejected], with positions that
start again and a mask under which the rejected response does not see the chosen one, they need the prompt once:
a quarter fewer tokens where all three are of equal length. Letters: B pairs, L tokens of prompt and both responses.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .batches import length_sorted_batches, right_pad
from .models import hidden_states, scalar_scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Rows = Sequence[list[int]]


def pair_scores(
    model: "PreTrainedModel", chosen: Rows, rejected: Rows, pad_id: int, microbatch: int
) -> tuple[Tensor, Tensor]:
    """Scores (B,) of the chosen and of the rejected rows: what `scalar_scores` gives, up to rounding. Differentiable.

    Args:
        chosen, rejected: B token rows each, prompt included; whatever they begin with in common is computed once.
        microbatch: pairs of one forward pass, of like length; a memory and speed knob.
    """
    if not shares_beginnings(model):
        scores = row_scores(model, [*chosen, *rejected], pad_id, 2 * microbatch)
        return scores[: len(chosen)], scores[len(chosen) :]
    common = [shared_tokens(first, second) for first, second in zip(chosen, rejected, strict=True)]
    lengths = [len(one) + len(two) - both for one, two, both in zip(chosen, rejected, common, strict=True)]
    order: list[int] = []
    parts = []
    for batch in length_sorted_batches(lengths, microbatch):
        parts.append(_together(model, [(chosen[row], rejected[row], common[row]) for row in batch], pad_id))
        order += batch
    scores = torch.cat(parts)[torch.tensor(order).argsort()]
    return scores[:, 0], scores[:, 1]


def shared_tokens(first: list[int], second: list[int]) -> int:
    """How many tokens two rows begin with in common."""
    differ = (place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(differ, min(len(first), len(second)))


def _together(model: Any, pairs: list[tuple[list[int], list[int], int]], pad_id: int) -> Tensor:
    """(B, 2) scores of (chosen, rejected, tokens in common)."""
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
    # A rejected row that is no longer than what both begin with ends there.
    second = torch.where(second < ends_first[:, 0], common[:, 0] - 1, second)
    last = torch.stack([ends_first[:, 0] - 1, second], dim=1).to(device)
    return model.score(states[torch.arange(len(pairs), device=device)[:, None], last]).squeeze(-1)


def row_scores(model: Any, rows: list[list[int]], pad_id: int, microbatch: int) -> Tensor:
    """(B,) scores of single rows."""
    order: list[int] = []
    parts = []
    for batch in length_sorted_batches([len(row) for row in rows], microbatch):
        ids, mask = right_pad([rows[row] for row in batch], pad_id)
        parts.append(scalar_scores(model, ids.to(model.device), mask.to(model.device)))
        order += batch
    return torch.cat(parts)[torch.tensor(order).argsort()]


_SHARES: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def shares_beginnings(model: "PreTrainedModel") -> bool:
    """Whether this architecture takes a mask for every pair of tokens and positions that start again.

    Asked of the model itself, once: a small batch both ways. Not every architecture does (ALiBi, sliding windows),
    and one that ignored the mask would be wrong without a word.
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
