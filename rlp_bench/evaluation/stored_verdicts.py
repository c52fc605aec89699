"""Answers with stored verdicts: the verdict file determines which answers were judged."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rlp_bench.api.errors import DataError
from rlp_bench.api.protocols import Judge
from rlp_bench.api.text_form import text_form
from rlp_bench.api.types import Item, Pair, merge_input
from rlp_bench.evaluation.outputs import MISSING_LIMIT, Outputs


@runtime_checkable
class StoredVerdicts(Protocol):
    """A judge that replays verdicts; `rows` are its {instruction, output_1, output_2, ...}."""

    def rows(self) -> Sequence[Mapping[str, Any]]: ...


def answers_as_judged(
    path: Path, items: Sequence[Item], answers: Outputs, judge: Judge, *, allow_missing: bool
) -> dict[str, Mapping[str, Any]]:
    """The answers by item id. Items missing from the outputs file get the judged answer, marked as absent.

    Raises:
        DataError: more than 1 % of the answers differ from the judged ones, without `allow_missing`.
    """
    assert isinstance(judge, StoredVerdicts)
    judged: dict[str, list[Mapping[str, Any]]] = {}
    for row in judge.rows():
        question = text_form(merge_input(row["instruction"], row.get("input") or ""))
        judged.setdefault(question, []).append(row)
    found: dict[str, Mapping[str, Any]] = {}
    others = []
    for item in items:
        rows = judged.get(text_form(merge_input(item.instruction, item.input)), [])
        if item.id not in answers:
            known = [text for row in rows if (text := _other_side(row, item.reference)) is not None]
            if known:
                found[item.id] = {"output": known[0], "absent": True}
            continue
        found[item.id] = answers[item.id]
        if rows and item.reference is not None and not _knows(judge, item, answers[item.id]["output"]):
            others.append(item)
    if len(others) > MISSING_LIMIT * len(items) and not allow_missing:
        raise DataError(
            f'"{path}": {len(others)} of {len(items)} answers are not the ones that the verdict file judged; '
            "give the outputs it was made from, or --allow-missing to score only the judged ones"
        )
    return found


def _other_side(row: Mapping[str, Any], reference: str | None) -> str | None:
    """The judged answer of a row, given the reference; None if the row has another reference."""
    if row["output_1"] == reference:
        return str(row["output_2"])
    return str(row["output_1"]) if row["output_2"] == reference else None


def _knows(judge: Judge, item: Item, output: str) -> bool:
    if output == item.reference:
        return True
    [verdict] = judge.judge([Pair(item.instruction, output, item.reference or "", item.input)])
    return not verdict.reason.startswith("missing")
