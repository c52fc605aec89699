"""Samples responses to a batch of tokenized prompts: continuous batching with the decoder that supports the model.

Letters: R rows (prompts times samples), L tokens of prompt and response together, T response tokens.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlp_bench.api import DataError, Decoding

from ..data.tokenize import right_pad
from .generic_decoder import GenericDecoder
from .llama_decoder import LlamaDecoder, supports
from .seeded_sampling import choose, uniforms

REFILL_SHARE = 8
"""New rows are added once 1/8 of the slots are free: fewer, larger prefills at the cost of some idle slots."""


@dataclass
class Rollouts:
    """Prompts with their responses, right-padded; prompt-major: prompt 0's n samples first."""

    ids: Tensor
    """(R, L) int64: prompt, response, EOS where finished, padding."""
    mask: Tensor
    """(R, L) bool, True on real tokens."""
    response_mask: Tensor
    """(R, L) bool, True on response tokens, EOS included."""
    finished: Tensor
    """(R,) bool, True if the response ended with EOS."""
    logprobs: Tensor
    """(R, L) float32, the sampler's log-probabilities at response tokens, 0 elsewhere."""


def rollout(
    model: Any, tokenizer: Any, prompts: list[list[int]], decoding: Decoding, seed: int,
    slots: int = 128, n: int = 1, first_prompt: int = 0,
) -> Rollouts:  # fmt: skip
    """Samples n responses to each prompt.

    Args:
        prompts: token rows without padding, at least one token each.
        seed: together with the prompt's index, the sample's index and the step it determines every draw.
        slots: rows decoded in parallel; the result does not depend on it.
        first_prompt: index of `prompts[0]` in a longer list of which `prompts` is a part.

    Raises:
        DataError: there are no prompts, or n < 1.
    """
    if not prompts or n < 1:
        raise DataError(
            f"rollout: {len(prompts)} prompts with {n} samples each; expected at least one of each"
        )
    training = model.training
    model.eval()
    with torch.inference_mode():
        draws = uniforms(seed, first_prompt, len(prompts), n, decoding.max_response_tokens)
        rows = [prompt for prompt in prompts for _ in range(n)]
        tokens, logprobs, lengths, finished = _decode(model, tokenizer, rows, decoding, draws, slots)
    model.train(training)
    return pack(rows, tokens, logprobs, lengths, finished, tokenizer.pad_token_id)


def eos_ids(model: Any, tokenizer: Any) -> NDArray[np.int64]:
    """All token ids that end a response: the tokenizer's EOS and those of the generation config."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    more = configured if isinstance(configured, list) else [] if configured is None else [configured]
    return np.unique(np.array([tokenizer.eos_token_id, *more], dtype=np.int64))


def make_decoder(model: Any, slots: int, longest_prompt: int, max_response_tokens: int) -> Any:
    """`LlamaDecoder` if it supports the model, else `GenericDecoder`."""
    if supports(model):
        return LlamaDecoder(model, slots, longest_prompt, max_response_tokens)
    return GenericDecoder(model)


def _decode(
    model: Any,
    tokenizer: Any,
    rows: list[list[int]],
    decoding: Decoding,
    draws: NDArray[np.float32],
    slots: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """Tokens and log-probabilities (R, T), lengths (R,) and finished (R,) of every row."""
    steps = decoding.max_response_tokens
    tokens = np.zeros((len(rows), steps), dtype=np.int64)
    logprobs = np.zeros((len(rows), steps), dtype=np.float32)
    lengths = np.zeros(len(rows), dtype=np.int64)
    finished = np.zeros(len(rows), dtype=bool)
    ends = eos_ids(model, tokenizer)
    # Long prompts first: rows of similar length share a prefill, and the longest do not finish last.
    queue = np.array(sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row)))
    slots = min(slots, len(queue))
    decoder = make_decoder(model, slots, max(map(len, rows)), steps)
    row_of, last, alive = queue[:slots].copy(), np.zeros(slots, dtype=np.int64), np.zeros(slots, dtype=bool)
    waiting = queue[:0] if slots == len(queue) else queue[slots:]

    def record(places: NDArray[np.int64], logits: Tensor) -> None:
        """Samples and stores the next token of these slots; slots whose row has finished become inactive."""
        of = row_of[places]
        uniform = torch.from_numpy(draws[of, lengths[of]]).to(logits.device)
        drawn, logprob = choose(logits, uniform, decoding)
        token = drawn.cpu().numpy()
        tokens[of, lengths[of]] = token
        logprobs[of, lengths[of]] = logprob.cpu().numpy()
        lengths[of] += 1
        finished[of] = np.isin(token, ends)
        last[places] = token
        alive[places] = goes_on = ~finished[of] & (lengths[of] < steps)
        if not goes_on.all():
            decoder.release(torch.from_numpy(places[~goes_on]))

    everything = np.arange(slots)
    record(everything, decoder.fill(torch.from_numpy(everything), [rows[row] for row in row_of]))
    while True:
        free = np.flatnonzero(~alive)
        if len(waiting) and (
            len(free) == len(alive) or (decoder.refills and len(free) >= len(alive) / REFILL_SHARE)
        ):
            taken = free[: len(waiting)]
            row_of[taken], waiting = waiting[: len(taken)], waiting[len(taken) :]
            if not decoder.refills and len(taken) < len(alive):
                row_of, last, alive = row_of[taken], last[taken], alive[taken]
                taken = np.arange(len(taken))
            record(taken, decoder.fill(torch.from_numpy(taken), [rows[row] for row in row_of[taken]]))
            continue
        if len(free) == len(alive):
            return tokens, logprobs, lengths, finished
        if len(free) > len(alive) / 4:
            keep = np.flatnonzero(alive)
            decoder.shrink(torch.from_numpy(keep))
            row_of, last, alive = row_of[keep], last[keep], alive[keep]
        logits = decoder.step(torch.from_numpy(last).to(model.device))
        live = np.flatnonzero(alive)
        record(live, logits if len(live) == len(alive) else logits[torch.from_numpy(live)])


def pack(
    rows: list[list[int]], tokens: NDArray[np.int64], logprobs: NDArray[np.float32],
    lengths: NDArray[np.int64], finished: NDArray[np.bool_], pad_id: int,
) -> Rollouts:  # fmt: skip
    """The rollouts of given prompts and response tokens, right-padded."""
    answers = np.arange(tokens.shape[1])[None, :] < lengths[:, None]
    flat, ends = tokens[answers].tolist(), np.cumsum(lengths).tolist()
    ids, mask = right_pad(
        [
            row + flat[end - length : end]
            for row, end, length in zip(rows, ends, lengths.tolist(), strict=True)
        ],
        pad_id,
    )
    prompt_lengths = torch.tensor([len(row) for row in rows])
    response_mask = mask & (torch.arange(ids.shape[1])[None, :] >= prompt_lengths[:, None])
    placed = torch.zeros(ids.shape)
    placed[response_mask] = torch.from_numpy(logprobs[answers])
    return Rollouts(ids, mask, response_mask, torch.from_numpy(finished), placed)
