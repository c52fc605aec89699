"""Forward passes of policies and reward models on a batch of tokens: scores, values, log-probabilities.

Scores and values are read by attention mask, never by `ids != pad`. Rows may be padded on either side: they are moved
to the left before the forward pass, so that padding comes after every real token and a causal model needs no
attention mask. Letters: B batch, L tokens, V vocabulary, d hidden size.
"""

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional

from rlp_bench.api import DataError

from .llama import lean_llama, llama_hidden

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def scalar_scores(model: "PreTrainedModel", ids: Tensor, mask: Tensor) -> Tensor:
    """The reward model's score of each row: its head on the hidden state of the last real token.

    Args:
        ids: (B, L) int64. mask: (B, L) bool, True on real tokens; left and right padding give the same score.

    Returns:
        (B,) scores; of several models (`AveragedReward`) their mean.
    """
    members: Any = getattr(model, "members", None)
    if members is not None:
        return torch.stack([_member_scores(member, ids, mask) for member in members]).mean(0)
    head, states = scalar_head(model), scored_states(model, ids, mask)
    if head.weight.dtype == torch.float32:
        return head(states).squeeze(-1)
    # In bf16 scores are rounded to about 0.01, which would make different scores tie.
    return functional.linear(states.float(), head.weight.float()).squeeze(-1)


def _member_scores(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """`scalar_scores`, within the model's forward pass if it is sharded."""
    if getattr(model, "in_shards", False):
        scores: Tensor = model(ids, mask, work=scalar_scores)
        return scores
    return scalar_scores(model, ids, mask)


def scored_states(model: "PreTrainedModel", ids: Tensor, mask: Tensor) -> Tensor:
    """(B, d) hidden states after the last norm at the last real token, the input of the reward head."""
    ids, mask, _ = _flush_left(ids, mask)
    hidden = hidden_states(model, ids, mask)
    last = mask.sum(1) - 1
    return hidden[torch.arange(len(ids), device=ids.device), last]


def token_values(model: "PreTrainedModel", ids: Tensor, mask: Tensor) -> Tensor:
    """The value net's value after every token; 0 on padding. (B, L) int64 and bool -> (B, L)."""
    flushed, flushed_mask, order = _flush_left(ids, mask)
    hidden = hidden_states(model, flushed, flushed_mask)
    values = scalar_head(model)(hidden).squeeze(-1)
    values = functional.pad(values, (0, ids.shape[1] - values.shape[1])) * flushed_mask
    return values if order is None else torch.zeros_like(values).scatter(1, order, values)


def response_logprobs(
    model: "PreTrainedModel", ids: Tensor, mask: Tensor, response_mask: Tensor, temperature: float = 1.0
) -> Tensor:
    """log pi(ids[:, t] | ids[:, :t]) in nats where `response_mask` is True, 0 elsewhere. Differentiable.

    Logits are computed at response positions only.

    Args:
        ids: (B, L) int64. mask: (B, L) bool, True on real tokens.
        response_mask: (B, L) bool, True on response tokens; never on the first token of a row.
        temperature: divides the logits; must be the sampler's if a ratio to its log-probabilities is taken.

    Returns:
        (B, L) log-probabilities.

    Raises:
        ValueError: `response_mask` is True on padding.
    """
    if bool((response_mask & ~mask).any()):
        raise ValueError("response_mask is True where mask is False")
    flushed, flushed_mask, order = _flush_left(ids, mask)
    chosen = response_mask if order is None else response_mask.gather(1, order)
    chosen = chosen[:, 1 : int(flushed_mask.sum(1).max())]
    logits = _logits_where(model, flushed, flushed_mask, chosen)
    targets = flushed[:, 1 : 1 + chosen.shape[1]][chosen]
    logprobs = -functional.cross_entropy(logits.float() / temperature, targets, reduction="none")
    result = torch.zeros(ids.shape, dtype=logprobs.dtype, device=ids.device)
    rows, columns = chosen.nonzero(as_tuple=True)
    columns = columns + 1
    if order is not None:
        columns = order[rows, columns]
    return result.index_put((rows, columns), logprobs)


def _flush_left(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows with all padding after the real tokens, and the permutation used (None if they were so already)."""
    if bool((mask[:, 1:] <= mask[:, :-1]).all()):
        return ids, mask, None
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    return ids.gather(1, order), mask.gather(1, order), order


def hidden_states(
    model: "PreTrainedModel",
    ids: Tensor,
    mask: Tensor,
    positions: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Hidden states (B, l, d) of right-padded rows; l is the length of the longest row, other columns are cut.

    Args:
        ids, mask: (B, L). positions: (B, l), default 0, 1, ... bias: (B, 1, l, l), default causal.
    """
    longest = int(mask.sum(1).max())
    ids, mask = ids[:, :longest], mask[:, :longest]
    if lean_llama(model):
        return llama_hidden(model, ids, mask, positions, bias)
    options = {} if bias is None else {"attention_mask": bias, "position_ids": positions}
    return model.base_model(input_ids=ids, use_cache=False, **options).last_hidden_state


def _logits_where(model: "PreTrainedModel", ids: Tensor, mask: Tensor, chosen: Tensor) -> Tensor:
    """Logits (K, V) at the K positions where `chosen` (B, l - 1) is True."""
    if _plain_output(model):
        hidden = hidden_states(model, ids, mask)[:, :-1]
        return model.get_output_embeddings()(hidden[chosen])
    longest = chosen.shape[1] + 1
    return model(input_ids=ids[:, :longest], use_cache=False).logits[:, :-1][chosen]


_PLAIN: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def _plain_output(model: "PreTrainedModel") -> bool:
    """Whether the logits are the output matrix times the last hidden state (some models scale or cap them).

    Tested once per model by computing the logits of two tokens both ways.
    """
    if model not in _PLAIN:
        training = model.training
        model.eval()
        with torch.no_grad():
            ids = torch.tensor([[0, 1]], device=model.device)
            hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
            logits = model(input_ids=ids, use_cache=False).logits
            plain = model.get_output_embeddings()(hidden)
        _PLAIN[model] = plain.shape == logits.shape and torch.allclose(plain, logits, rtol=1e-4, atol=1e-5)
        model.train(training)
    return _PLAIN[model]


def scalar_head(model: "PreTrainedModel") -> Any:
    head = getattr(model, "score", None)
    if head is None:
        raise DataError(
            f"{type(model).__name__}: no scalar head called `score`; a reward model must be of an architecture "
            "with AutoModelForSequenceClassification on a causal backbone (Llama, Qwen, GPT-2, ...)"
        )
    return head
