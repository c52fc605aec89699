"""Folds of preference pairs for cross-fitting: by the prompts' content, so that a prompt's pairs are in one fold."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import DataError, prompt_id


def fold_of(row: Mapping[str, Any], folds: int) -> int:
    """The fold, 0 to folds − 1, of a row's prompt; the order of the rows has no effect."""
    return int(prompt_id(row), 16) % folds


def check_folds(rows: Sequence[Mapping[str, Any]], folds: int, where: str) -> None:
    """Raises DataError if a fold is empty."""
    found = {fold_of(row, folds) for row in rows}
    if len(found) < folds:
        raise DataError(
            f"{where}: {len(rows)} pairs fill {len(found)} of {folds} folds; expected pairs in every fold; give more "
            "preferences or lower folds"
        )
