"""Encodes preference rows as token rows, with a held-out split that depends on the prompts' content alone.

Rows may have columns that the stage "relabel" adds: `margin` and `label_smoothing` of the loss, and `flipped`, True
where chosen and rejected have changed places since the annotator labeled them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlp_bench.api import Artifact, DataError, Prompting, prompt_id

from .encoding import SPECIAL_TEXTS, encode_prompts
from .folds import check_folds, fold_of
from .row_accounting import RowAccount
from .tokenize import count_special_texts, encode_response


@dataclass(frozen=True)
class TokenPair:
    """Token ids of two responses to one prompt, each preceded by the prompt."""

    chosen: list[int]
    rejected: list[int]
    margin: float = 0.0
    """By how much the chosen response's reward has to be larger."""
    label_smoothing: float = 0.0
    """Probability that the label is wrong."""


def split_pairs(
    artifacts: Sequence[Artifact],
    tokenizer: Any,
    prompting: Prompting,
    heldout: float,
    eos: bool,
    folds: int = 1,
    left_out: int = 0,
) -> tuple[list[TokenPair], list[TokenPair], RowAccount]:
    """(training pairs, held-out pairs, row account).

    Args:
        artifacts: of kind "preferences"; held-out prompts are drawn from the first. Pairs of a later artifact on a
            held-out prompt are dropped (counted as `heldout_prompt`). Held-out pairs have the annotator's labels.
        heldout: fraction of the first artifact's prompts to hold out, at least one prompt.
        eos: whether a finished response gets an EOS.
        folds: number of folds of the prompts; with more than 1, the training pairs of fold `left_out` are dropped
            (counted as `left_out_fold`).

    Raises:
        DataError: the training split, the held-out split or a fold is empty.
    """
    given = [artifact.rows() for artifact in artifacts]
    check_folds(given[0], folds, "reward")
    held_ids = heldout_prompts(given[0], heldout)
    account = RowAccount(sum(map(len, given)))
    train: list[TokenPair] = []
    held: list[TokenPair] = []
    of_first = 0
    for place, rows in enumerate(given):
        for row, prompt in encode_prompts(rows, tokenizer, prompting, account):
            is_held = prompt_id(row) in held_ids
            if is_held and place:
                account.drop("heldout_prompt")
                continue
            if not is_held and folds > 1 and fold_of(row, folds) == left_out:
                account.drop("left_out_fold")
                continue
            pair = token_pair(as_annotated(row) if is_held else row, prompt, tokenizer, eos)
            limit = len(prompt) + prompting.max_response_tokens + 1
            if max(len(pair.chosen), len(pair.rejected)) > limit:
                account.drop("response_too_long")
                continue
            account.count(SPECIAL_TEXTS, count_special_texts(tokenizer, row["chosen"], row["rejected"]))
            (held if is_held else train).append(pair)
        of_first = of_first or len(train)
    if not train or not held:
        raise DataError(
            f"reward: {len(train)} pairs to train on and {len(held)} held out of {account.rows_in} rows in "
            f"{artifacts[0].path} {account.drops or ''}; expected at least one of each; add preferences or change "
            "heldout"
        )
    account.note("synthetic_share", _synthetic(given) / account.rows_in)
    account.note("pairs_of_first", of_first)
    if folds > 1:
        account.note("folds", folds)
        account.note("left_out", left_out)
    return train, held, account


def heldout_prompts(rows: Sequence[Mapping[str, Any]], share: float) -> set[str]:
    """The ids of the held-out prompts: the first by hash, so that the order of the rows has no effect."""
    ids = sorted({prompt_id(row) for row in rows})
    return set(ids[: max(1, round(share * len(ids)))])


def token_pair(row: Mapping[str, Any], prompt: list[int], tokenizer: Any, eos: bool) -> TokenPair:
    """Both responses after their prompt, with an EOS after finished responses if `eos` is set."""
    chosen = encode_response(tokenizer, row["chosen"], eos and row["chosen_finished"])
    rejected = encode_response(tokenizer, row["rejected"], eos and row["rejected_finished"])
    margin, smoothing = float(row.get("margin", 0.0)), float(row.get("label_smoothing", 0.0))
    return TokenPair(prompt + chosen, prompt + rejected, margin, smoothing)


def as_annotated(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with the annotator's label: a flipped one is flipped back."""
    return flipped(row) if row.get("flipped") else row


def flipped(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with chosen and rejected exchanged, and `flipped` inverted. Twice is the row itself."""
    turned = {**row, "flipped": not row.get("flipped", False)}
    for name in row:
        for side, other in (("chosen", "rejected"), ("rejected", "chosen")):
            if name == side or name.startswith(f"{side}_"):
                turned[name] = row[name.replace(side, other, 1)]
    return turned


def _synthetic(given: Sequence[Sequence[Mapping[str, Any]]]) -> int:
    return sum(row["source"] != "annotator" for rows in given for row in rows)
