"""Selection of synthetic pairs in proportion to prompt categories, in the number that confidence alone accepts."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import DataError

Candidate = tuple[dict[str, Any], str]
"""(a prompt's pair with its confidence, reason for rejection or "" if accepted)."""
BELOW = "below_confidence"


def balanced(rows: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with the same number accepted, divided among categories in proportion to their rows.

    Args:
        rows: of prompts, each with a `category`.
        candidates: one per row; only prompts that have a pair can be accepted.

    Returns:
        The candidates with new reasons; within a category those with the highest confidence are accepted, ties in row
        order. If a category has fewer pairs than its quota, all of them are accepted.

    Raises:
        DataError: a row has no category.
    """
    members: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if not row.get("category"):
            raise DataError(
                "spg: balance by category: a prompt has no category; expected a `category` in every row of the data "
                'source; add it or set balance = "none"'
            )
        members.setdefault(row["category"], []).append(place)
    wanted = sum(not reason for _, reason in candidates)
    chosen: set[int] = set()
    for places in members.values():
        eligible = [place for place in places if candidates[place][1] in ("", BELOW)]
        eligible.sort(key=lambda place: (-candidates[place][0]["confidence"], place))
        chosen.update(eligible[: round(wanted * len(places) / len(rows))])
    return [
        (found, ("" if place in chosen else BELOW) if reason in ("", BELOW) else reason)
        for place, (found, reason) in enumerate(candidates)
    ]
