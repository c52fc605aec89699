"""The length-controlled win rate of a suite's report, and where its difficulties and anchors come from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlp_bench.api.protocols import Suite
from rlp_bench.api.report import LengthControlled
from rlp_bench.api.types import Item
from rlp_bench.evaluation.length_control import Anchors, length_controlled_win_rate
from rlp_bench.evaluation.outputs import Outputs

FEWEST = 30
"""Items with a score below which three weights are not worth fitting."""
NONE = "none"


def length_controlled(
    suite: Suite, items: Sequence[Item], rows: Outputs, scores: Sequence[Mapping[str, Any]]
) -> LengthControlled:
    """Percent. `win_rate` None with a `reason` where it cannot be had.

    A suite may offer `length_control(items)`, a mapping with `label`, `difficulty` (item id -> number) and `anchors`
    (rows of x, difficulty, preference, weight), or None where its items have none.
    """
    whole = getattr(suite, "whole", suite)
    known = whole.length_control(items) if hasattr(whole, "length_control") else None
    label, anchors = (str(known["label"]), len(known["anchors"])) if known else (NONE, 0)
    found = {row["item_id"]: row["score"] for row in scores}
    taken = [item for item in items if item.id in rows and item.reference is not None]
    y = np.array([np.nan if found[item.id] is None else found[item.id] for item in taken], float)
    gaps = np.array([len(item.reference or "") - len(rows[item.id]["output"]) for item in taken], float)
    n = int(np.isfinite(y).sum())
    if n < FEWEST or np.ptp(gaps) == 0:
        reason = (
            f"{n} items with a score, {FEWEST} are needed" if n < FEWEST else "all lengths differ equally"
        )
        return {"win_rate": None, "reason": reason, "n": n, "difficulty": label, "anchors": anchors}
    difficulty = np.array([known["difficulty"][item.id] for item in taken]) if known else None
    result = length_controlled_win_rate(y, gaps, difficulty, _anchors(known))
    length, hard, bias = result.weights
    return {
        "win_rate": 100 * result.mean,
        "standard_error": 100 * result.se,
        "ci95": [100 * result.low, 100 * result.high],
        "n": n,
        "weights": {"length": length, "difficulty": hard, "bias": bias},
        "difficulty": label,
        "anchors": anchors,
    }


def _anchors(known: Mapping[str, Any] | None) -> Anchors | None:
    if not known or not known["anchors"]:
        return None
    x, difficulty, preference, weight = np.array(known["anchors"], float).T
    return Anchors(x, difficulty, preference, weight)
