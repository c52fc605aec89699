"""Content ids of the 805 instructions of AlpacaFarm / AlpacaEval; the package has their hashes only.

`alpacafarm_items.txt`: one line per item, content id of the merged instruction and subset.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rlp_bench.api import content_id, merge_input


def merged(row: Mapping[str, Any]) -> str:
    """Instruction and input merged into one text, as in AlpacaEval."""
    return merge_input(str(row["instruction"]), row.get("input") or "")


def question_id(row: Mapping[str, Any]) -> str:
    """Content id of the merged instruction."""
    return content_id(merged(row), "")


@cache
def known_items() -> dict[str, str]:
    """Content id -> subset of the 805 instructions."""
    lines = (Path(__file__).parent / "alpacafarm_items.txt").read_text(encoding="ascii").splitlines()
    return {key: subset for key, subset in (line.split() for line in lines)}  # noqa: C416 (dict() loses types)
