"""As many synthetic pairs as confidence alone would accept, but of every category its share."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import DataError

Candidate = tuple[dict[str, Any], str]
"""(a prompt's pair with its confidence, reason why it is not accepted; "" if it is)."""
BELOW = "below_confidence"


def balanced(rows: Sequence[Mapping[str, Any]], candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same number of pairs accepted, divided among the rows' categories by their share of rows.

    Args:
        rows: of prompts, each with a `category`. candidates: one a row; only prompts that have a pair can be accepted.

    Returns:
        The candidates with new reasons; within a category the surest are accepted, the first of equal ones. A category
        with fewer pairs than its quota gives what it has.

    Raises:
        DataError: a row has no category.
    """
    members: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if not row.get("category"):
            raise DataError(
                "spg: balance by category: the samples' prompts have none; expected a `category` in every row of "
                "the data source"
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
