"""The meta set: k responses of a policy to each of m prompts, drawn anew in every update."""

from collections.abc import Sequence
from typing import Any

from rlp_bench.api import Artifact, DataError, Prompting, prompt_id

from ...data.encoding import SPECIAL_TEXTS, encode_prompts
from ...data.preference_pairs import heldout_prompts
from ...data.row_accounting import RowAccount
from ...data.seeding import shuffled
from ...data.tokenize import count_special_texts, encode_response

Rows = list[list[int]]
"""Token rows of prompt and response."""


def read_meta_set(
    samples: Artifact, tokenizer: Any, prompting: Prompting, eos: bool, k: int, heldout: float
) -> tuple[list[Rows], list[Rows], RowAccount]:
    """(responses of each training prompt, of each held-out prompt, row account); at least k responses each.

    Args:
        samples: of kind "samples". Empty and too long responses are left out; prompts with fewer than k others, or
            whose responses are all the same, are dropped.
        eos: whether a finished response gets an EOS.
        heldout: fraction of the prompts to hold out, selected by content; at least one.

    Raises:
        DataError: no prompt is left to train on, or to hold out.
    """
    rows = samples.rows()
    account = RowAccount(len(rows))
    found: dict[str, tuple[dict[str, Any], Rows]] = {}
    for row, prompt in encode_prompts(rows, tokenizer, prompting, account):
        said = [response for response in row["responses"] if response["text"].strip()]
        encoded = [encode_response(tokenizer, one["text"], eos and one["finished"]) for one in said]
        usable = [prompt + tokens for tokens in encoded if len(tokens) <= prompting.max_response_tokens + 1]
        if prompt_id(row) in found:
            account.drop("repeated_prompt")
        elif len(usable) < k:
            account.drop("too_few_responses")
        elif all(one == usable[0] for one in usable):
            account.drop("all_responses_equal")
        else:
            found[prompt_id(row)] = (dict(row), usable)
            account.count(
                SPECIAL_TEXTS, count_special_texts(tokenizer, *(one["text"] for one in row["responses"]))
            )
    held_ids = heldout_prompts([row for row, _ in found.values()], heldout)
    train = [responses for name, (_, responses) in found.items() if name not in held_ids]
    held = [responses for name, (_, responses) in found.items() if name in held_ids]
    if not train or not held:
        raise DataError(
            f"reward_meta: {len(found)} of {len(rows)} prompts in {samples.path} have {k} usable responses that are "
            f"not all the same {account.drops or ''}; expected at least 2 such prompts; sample more "
            "responses per prompt, or lower k"
        )
    return train, held, account


def drawn_responses(prompts: Sequence[Rows], k: int, seed: int, *what: object) -> Rows:
    """k different responses of each prompt, one prompt after the other; a draw for the purpose `what`."""
    drawn = []
    for place, responses in enumerate(prompts):
        drawn += [responses[index] for index in shuffled(len(responses), seed, "meta", *what, place)[:k]]
    return drawn
