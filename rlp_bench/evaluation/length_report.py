"""The length-controlled win rate of a suite's report, with the source of its difficulties and anchors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlp_bench.api.protocols import Suite
from rlp_bench.api.report import LengthControlled, length_control_kind
from rlp_bench.api.types import Item
from rlp_bench.evaluation.length_control import Anchors, Prior, length_controlled_win_rate
from rlp_bench.evaluation.outputs import Outputs

FEWEST = 30
"""Minimum number of scored items for fitting the three weights."""
NONE = "none"
NO_DIFFICULTY = "no difficulty"


def length_controlled(
    suite: Suite, items: Sequence[Item], rows: Outputs, scores: Sequence[Mapping[str, Any]]
) -> LengthControlled:
    """The length-controlled win rate in percent; `win_rate` is None with a `reason` if it cannot be computed.

    A suite may have `length_control(items)`. It returns a mapping with `kind` ("exact" or "approximate"), `label`,
    `difficulty` (item id -> number), `anchors` (rows of x, difficulty, preference, weight) and, if approximate,
    `prior` and `error` (the error in points on unseen models), or None if the items have no difficulties.
    """
    whole = getattr(suite, "whole", suite)
    known = whole.length_control(items) if hasattr(whole, "length_control") else None
    found = {row["item_id"]: row["score"] for row in scores}
    taken = [item for item in items if item.id in rows and item.reference is not None]
    y = np.array([np.nan if found[item.id] is None else found[item.id] for item in taken], float)
    gaps = np.array([len(item.reference or "") - len(rows[item.id]["output"]) for item in taken], float)
    n = int(np.isfinite(y).sum())
    facts: LengthControlled = {
        "win_rate": None,
        "n": n,
        "kind": known["kind"] if known else NO_DIFFICULTY,
        "difficulty": known["label"] if known else NONE,
        "anchors": len(known["anchors"]) if known else 0,
        "error_unseen": known.get("error") if known else None,
    }
    if n < FEWEST or np.ptp(gaps) == 0:
        reason = (
            f"{n} items with a score, expected at least {FEWEST}"
            if n < FEWEST
            else "all lengths differ equally"
        )
        return {**facts, "reason": reason}
    difficulty = np.array([known["difficulty"][item.id] for item in taken]) if known else None
    result = length_controlled_win_rate(y, gaps, difficulty, _anchors(known), _prior(known))
    length, hard, bias = result.weights
    return {
        **facts,
        "win_rate": 100 * result.mean,
        "standard_error": 100 * result.se,
        "ci95": [100 * result.low, 100 * result.high],
        "weights": {"length": length, "difficulty": hard, "bias": bias},
    }


def _anchors(known: Mapping[str, Any] | None) -> Anchors | None:
    if not known or not known["anchors"]:
        return None
    x, difficulty, preference, weight = np.array(known["anchors"], float).T
    return Anchors(x, difficulty, preference, weight)


def _prior(known: Mapping[str, Any] | None) -> Prior | None:
    if not known or not known.get("prior"):
        return None
    given = known["prior"]
    low, high = given["range"]
    return Prior(np.array(given["coefficients"], float), np.array(given["precision"], float), (low, high))


def described(found: LengthControlled) -> str:
    """The kind of a length-controlled rate: "exact", "approximate, off by 1.2 points ...", "no difficulty"."""
    error = found.get("error_unseen")
    return length_control_kind(found) + (f", off by {error:g} points for an unseen model" if error else "")
