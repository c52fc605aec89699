"""Reads verdicts from LLMBar's result files: rows {"input", "output_1", "output_2", "label", "results": [...]}.

The verdict is the last element of `results`, {"swap = False": {"winner"}, "swap = True": {"winner"}}. The elements
before it are earlier steps of multi-step evaluators: texts (metrics, a reference), or a first round whose
contradictions the last one resolves. "swap = False" showed output_1 first. `winner` is "1" or "2" by the numbers in the
data, in both orders; None is no verdict, "tie" a tie. Evaluators that give ratings have no order: LLMBar stores equal
and unreadable ratings as two contradicting winners, which count as half right.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import LabeledPair, RowFault, Rows, Verdict

Shown = tuple[str, str, str]
"""(instruction, first answer, second answer), in the order shown to the judge."""
ORDERS = {"swap = False": False, "swap = True": True}
TEXTS = ("input", "output_1", "output_2")
NOTHING = Verdict(None, "missing: the file has no result for this pair in this order")


def is_llmbar(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the rows are of a result file of LLMBar."""
    return any("results" in row for row in rows)


def checked(rows: Rows[dict[str, Any]]) -> Rows[dict[str, Any]]:
    """The rows that are valid labeled pairs and repeat no other."""
    seen: set[Shown] = set()

    def check(row: dict[str, Any]) -> dict[str, Any]:
        if fault := _fault(row, seen):
            raise RowFault(fault)
        return row

    return rows.read(check)


def _fault(row: Mapping[str, Any], seen: set[Shown]) -> str:
    """Why a row is no labeled pair, in a few words, or ""."""
    for name in TEXTS:
        if not isinstance(row.get(name), str):
            return f"without text in {name}"
    if row.get("label") is None:
        return "without label"
    if type(row["label"]) is not int or row["label"] not in (1, 2):
        return "with a label other than 1 or 2"
    if not isinstance(row.get("results"), list):
        return "without results"
    pair = (row["input"], row["output_1"], row["output_2"])
    if pair in seen:
        return "repeating a pair"
    seen.add(pair)
    return ""


def labeled_pairs(rows: Sequence[Mapping[str, Any]]) -> list[LabeledPair]:
    """The pair of each row, with its label."""
    return [LabeledPair(row["input"], row["output_1"], row["output_2"], row["label"]) for row in rows]


def llmbar_verdicts(rows: Sequence[Mapping[str, Any]]) -> dict[Shown, list[Verdict]]:
    """(instruction, first answer, second answer) -> preferences for the first answer.

    There are several if the file has the same two outputs again with swapped numbers; those of "swap = False" come
    first, each in the order of the rows.
    """
    found: dict[Shown, list[Verdict]] = {}
    for name, turned in ORDERS.items():
        for row in rows:
            outputs = (row["output_1"], row["output_2"])
            shown = (row["input"], *(outputs[::-1] if turned else outputs))
            found.setdefault(shown, []).append(_verdict(_result(row, name), turned))
    return found


def llmbar_statistics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """LLMBar's five statistics in percent, by its rule: a missing verdict is wrong, and two missing ones are equal.

    Source: LLMBar, LLMEvaluator/evaluate.py. Its kappas are omitted, because they are computed from wrong labels.
    """
    given, swapped = ([str((_result(row, name) or {}).get("winner")) for row in rows] for name in ORDERS)
    labels = [str(row["label"]) for row in rows]
    n = len(rows)
    right = [winner == label for winner, label in zip(given, labels, strict=True)]
    turned = [winner == label for winner, label in zip(swapped, labels, strict=True)]
    return {
        "correct_False": 100 * sum(right) / n,
        "correct_True": 100 * sum(turned) / n,
        "correct_average": 100 * (sum(right) + sum(turned)) / (2 * n),
        "correct_both": 100 * sum(a and b for a, b in zip(right, turned, strict=True)) / n,
        "equal": 100 * sum(a == b for a, b in zip(given, swapped, strict=True)) / n,
    }


def _result(row: Mapping[str, Any], order: str) -> Mapping[str, Any] | None:
    """{"winner", "completion"} of an order; None if the evaluator has no result."""
    last = row["results"][-1] if row["results"] else None
    found = last.get(order) if isinstance(last, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _verdict(result: Mapping[str, Any] | None, turned: bool) -> Verdict:
    if result is None:
        return NOTHING
    winner, completion = result.get("winner"), result.get("completion")
    raw = str(completion[0]) if isinstance(completion, list) and completion else ""
    if winner == "tie":
        return Verdict(0.5, raw=raw)
    if str(winner) not in ("1", "2"):
        return Verdict(None, "unparsed", raw)
    return Verdict(float((str(winner) == "1") != turned), raw=raw)
