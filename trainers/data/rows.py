"""Builds rows of artifacts, so that every stage writes the same keys."""

from collections.abc import Mapping
from typing import Any

from rlp_bench.api import Sample


def question_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that identify a row's question: instruction, input, and category if it has one."""
    category = {"category": row["category"]} if row.get("category") else {}
    return {"instruction": row["instruction"], "input": row.get("input", ""), **category}


def preference_row(
    row: Mapping[str, Any], chosen: Sample, rejected: Sample, source: str, annotator: str
) -> dict[str, Any]:
    """One row of an artifact of kind "preferences".

    Args:
        row: a row with the question.
        source: "annotator", or the name of the stage that made the pair.
        annotator: name of the annotator that chose the preferred response.
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
