"""Scores and log-probabilities of given token rows, in batches of similar length.

The batches depend only on the rows, so results do not depend on the number of processes or the order of calls.
"""

from typing import Any

import torch

from ..data.tokenize import right_pad
from ..modeling.forward import response_logprobs, scalar_scores

SCORING_BATCH = 64
"""Rows per forward pass; ours: at micro size larger batches exceed the CPU cache and are no faster."""


def score_batch(model: Any, rows: list[list[int]], pad_id: int) -> list[float]:
    """The reward model's score of each row (prompt and response)."""
    ids, mask = right_pad(rows, pad_id)
    with torch.inference_mode():
        scores = scalar_scores(model, ids.to(model.device), mask.to(model.device))
    return scores.double().cpu().tolist()


def logprob_batch(model: Any, rows: list[tuple[list[int], list[int]]], pad_id: int) -> list[float]:
    """Sum of the response's log-probabilities (nats, temperature 1) for each (prompt, response)."""
    ids, mask = right_pad([prompt + response for prompt, response in rows], pad_id)
    starts = torch.tensor([len(prompt) for prompt, _ in rows])
    response_mask = mask & (torch.arange(ids.shape[1])[None, :] >= starts[:, None])
    device = model.device
    with torch.inference_mode():
        logprobs = response_logprobs(model, ids.to(device), mask.to(device), response_mask.to(device))
    return logprobs.double().sum(1).cpu().tolist()
