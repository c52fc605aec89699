"""Rows of artifacts: the same keys wherever they are written."""

from collections.abc import Mapping
from typing import Any

from rlp_bench.api import Sample


def question_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies the question of any row: instruction, input, and its category where it has one."""
    category = {"category": row["category"]} if row.get("category") else {}
    return {"instruction": row["instruction"], "input": row.get("input", ""), **category}


def preference_row(
    row: Mapping[str, Any], chosen: Sample, rejected: Sample, source: str, annotator: str
) -> dict[str, Any]:
    """One row of an artifact of kind "preferences".

    Args:
        row: has the question.
        source: "annotator", or the name of the stage that made the pair.
        annotator: who or what decided.
    """
    return {
        **question_of(row),
        "chosen": chosen.text,
        "rejected": rejected.text,
        "chosen_tokens": chosen.tokens,
        "rejected_tokens": rejected.tokens,
        "chosen_finished": chosen.finished,
        "rejected_finished": rejected.finished,
        "source": source,
        "annotator": annotator,
    }
