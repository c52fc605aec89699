"""Views for RLP-UML: two different responses of a policy to one prompt.

Prompts of one batch are distinct; otherwise a negative pair could be a positive one. A held-out fraction is never
trained on.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlp_bench.api import Artifact, DataError, Prompting, prompt_id

from ...data.encoding import SPECIAL_TEXTS, encode_prompts
from ...data.preference_pairs import heldout_prompts
from ...data.row_accounting import RowAccount
from ...data.seeding import derived_seed, shuffled
from ...data.tokenize import count_special_texts, encode_response
from .config import CONTRAST


@dataclass(frozen=True)
class PromptViews:
    """All usable responses to one prompt, as token rows of prompt and response; at least two of them differ."""

    rows: list[list[int]]

    def draw(self, chance: random.Random) -> tuple[int, int]:
        """Indices of two different rows: the first uniform, the second uniform among those that differ from it."""
        first = chance.randrange(len(self.rows))
        others = [place for place, row in enumerate(self.rows) if row != self.rows[first]]
        return first, others[chance.randrange(len(others))]


def read_views(
    samples: Artifact, tokenizer: Any, prompting: Prompting, eos: bool, heldout: float
) -> tuple[list[PromptViews], list[PromptViews], RowAccount]:
    """(training prompts, held-out prompts, row account).

    Args:
        samples: of kind "samples". Empty responses and prompts without two different responses are dropped.
        eos: whether a finished response gets an EOS.
        heldout: fraction of the prompts to hold out, selected by content; at least `CONTRAST` prompts.

    Raises:
        DataError: fewer than `CONTRAST` prompts remain for either split.
    """
    rows = samples.rows()
    account = RowAccount(len(rows))
    found: dict[str, PromptViews] = {}
    kept = []
    for row, prompt in encode_prompts(rows, tokenizer, prompting, account):
        views = _views(row["responses"], prompt, tokenizer, prompting.max_response_tokens, eos)
        if prompt_id(row) in found:
            account.drop("repeated_prompt")
        elif all(view == views[0] for view in views):
            account.drop("no_two_different_responses")
        else:
            found[prompt_id(row)] = PromptViews(views)
            kept.append(row)
            texts = [response["text"] for response in row["responses"]]
            account.count(SPECIAL_TEXTS, count_special_texts(tokenizer, *texts))
    if len(found) < 2 * CONTRAST:
        raise DataError(
            f"reward_uml: {len(found)} prompts with two different responses among {len(rows)} in {samples.path} "
            f"{account.drops or ''}; expected at least {2 * CONTRAST}: {CONTRAST} for a batch and {CONTRAST} held "
            "out; sample more prompts, or more responses per prompt"
        )
    held_ids = heldout_prompts(kept, max(heldout, CONTRAST / len(found)))
    held = [views for name, views in found.items() if name in held_ids]
    train = [views for name, views in found.items() if name not in held_ids]
    if len(train) < CONTRAST:
        raise DataError(
            f"reward_uml: {len(train)} of {len(found)} prompts to train on; expected at least {CONTRAST} for in-batch "
            f"negatives; lower heldout_prompts (now {heldout:g}) or sample more prompts"
        )
    return train, held, account


def distinct_batches(n: int, batch: int, count: int, seed: int) -> list[list[int]]:
    """`count` batches of `batch` distinct indices, from repeated shuffled passes; the remainder of a pass is unused."""
    batch = min(batch, n)
    batches: list[list[int]] = []
    while len(batches) < count:
        order = shuffled(n, seed, "prompts", len(batches))
        batches += [order[start : start + batch] for start in range(0, n - batch + 1, batch)]
    return batches[:count]


def drawn_rows(
    prompts: Sequence[PromptViews], seed: int, *what: object
) -> tuple[list[list[int]], list[list[int]]]:
    """Two views of every prompt, as (B first rows, B second rows), drawn with a seed for the purpose `what`."""
    chance = random.Random(derived_seed(seed, "views", *what))
    places = [prompt.draw(chance) for prompt in prompts]
    first = [prompt.rows[one] for prompt, (one, _) in zip(prompts, places, strict=True)]
    return first, [prompt.rows[other] for prompt, (_, other) in zip(prompts, places, strict=True)]


def _views(
    responses: Sequence[Any], prompt: list[int], tokenizer: Any, max_tokens: int, eos: bool
) -> list[list[int]]:
    """Token rows of the responses that are not empty and not longer than the response limit."""
    said = [response for response in responses if response["text"].strip()]
    tokens = [encode_response(tokenizer, response["text"], eos and response["finished"]) for response in said]
    return [prompt + row for row in tokens if len(row) <= max_tokens + 1]
