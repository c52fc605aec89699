"""Difficulties and anchors of AlpacaEval 2's length control, for answers judged against gpt4_1106_preview's.

`alpaca_eval_2.json` contains an approximation (`tools/recover_difficulty.py`), keyed by instruction, with a hash of the
reference answer, so that it is never used with another baseline. AlpacaEval's own instruction_difficulty.csv (dataset
tatsu-lab/alpaca_eval) replaces its difficulties if it is given; it needs no prior, and the anchors are the same.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError, Item, cells_of, read_bytes


def length_control(items: Sequence[Item], exact: Mapping[str, float] | None = None) -> dict[str, Any] | None:
    """{kind, label, difficulty by item id, anchors}; for approximate difficulties also {prior, error in points}.

    None unless every item is one of the 805 with that reference.
    """
    stored = _stored()
    known = stored["items"]
    if not items or not all(item.id in known and _hash(item) == known[item.id][1] for item in items):
        return None
    if exact:
        label = "instruction_difficulty.csv"
        return {"kind": "exact", "label": label, "difficulty": exact, "anchors": stored["anchors"]}
    return {
        "kind": "approximate",
        "label": stored["label"],
        "difficulty": {item.id: known[item.id][0] for item in items},
        "anchors": stored["anchors"],
        "prior": stored["prior"],
        "error": stored["unseen"]["rms"],
    }


def read_difficulty(path: Path, order: Sequence[str]) -> dict[str, float]:
    """Item id -> difficulty, from AlpacaEval's file: a header, then 805 rows (position, difficulty).

    Args:
        order: item ids by position.

    Raises:
        DataError: the file has another format.
    """
    where = f'"{path}"'
    format = f"AlpacaEval's instruction_difficulty.csv: a header and {len(order)} rows of position,number"
    rows = cells_of(path, read_bytes(path), format)[1:]
    expected = f"expected {format}"
    try:
        found = {order[int(row[0])]: float(row[1]) for row in rows if int(row[0]) >= 0}
    except (ValueError, IndexError):
        raise DataError(f"{where}: {expected}") from None
    if len(found) != len(order) or len(rows) != len(order):
        raise DataError(f"{where}: has {len(rows)} rows of {len(found)} positions; {expected}")
    return found


@cache
def _stored() -> dict[str, Any]:
    text = (Path(__file__).parent / "alpaca_eval_2.json").read_text(encoding="ascii")
    found: dict[str, Any] = json.loads(text)
    return found


def _hash(item: Item) -> str:
    return hashlib.sha256((item.reference or "").encode("utf-8", "surrogatepass")).hexdigest()[:8]
