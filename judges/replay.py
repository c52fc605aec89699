"""Replays stored verdicts: AlpacaEval's `annotations.json` or LLMBar's `result.json`, as JSON, CSV or Parquet.

A row is {instruction, output_1, output_2, preference, ...}, with a preference for output_2 in [1, 2]; 0 and 1.5 are
ties; None, NaN and negative numbers are no verdict (AlpacaEval, metrics/winrate.py).
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rlp_bench.api import (
    DataError,
    LabeledPair,
    Pair,
    RowFault,
    Rows,
    Verdict,
    merge_input,
    read_bytes,
    sha256,
    shown_value,
    text_field,
    text_form,
    usable_rows,
)

from .llmbar_results import (
    Shown,
    checked,
    is_llmbar,
    labeled_pairs,
    llmbar_statistics,
    llmbar_verdicts,
)

EXPECTED = "a list of verdicts as in AlpacaEval's annotations.json"
Row = dict[str, Any]
FIELDS = ("instruction", "output_1", "output_2")


class Replay:
    """Looks verdicts up by content; the verdict on a pair that is not in the file is missing."""

    name = "replay"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        if not argument:
            raise DataError('judge "replay": needs a file of verdicts: --judge replay:ANNOTATIONS.json')
        self.path = Path(argument)
        data = read_bytes(self.path)
        self._sha256 = sha256(data)
        self._verdicts: dict[tuple[str, str, str], list[Verdict]] = {}
        self._rows: Rows[Row]
        self._shown: dict[Shown, list[Verdict]] = {}
        rows = usable_rows(self.path, EXPECTED, dict, columns=("preference",), data=data)
        if is_llmbar(rows):
            self._rows = checked(rows)
            self._shown = llmbar_verdicts(self._rows)
        else:
            self._rows = rows.read(_checked)
            if not any("preference" in row for row in self._rows):
                raise DataError(f"{self.path}: no row has a preference; expected {EXPECTED}")
            self._read_verdicts()
        self.left_out = len(self._rows.left_out)

    def manifest(self) -> Mapping[str, Any]:
        """The names of the annotators, and the hash of the uncompressed file."""
        averaged = self._averaged()
        return {
            "name": self.name,
            "version": self.version,
            "annotators": sorted({str(row["annotator"]) for row in self._rows if row.get("annotator")}),
            "sha256": self._sha256,
            "rows": len(self._rows),
            **({"left_out": self.left_out} if self.left_out else {}),
            "noise": 0.0,
            "scale": "binary" if self._binary() and not averaged else "soft",
            **({"averaged": averaged} if averaged else {}),
        }

    def rows(self) -> list[Row]:
        """The rows of the file, unchanged, for a suite that takes its items from them."""
        return self._rows

    def labeled(self) -> list[LabeledPair]:
        """The labeled pairs of an LLMBar file; empty for AlpacaEval's files."""
        return labeled_pairs(self._rows) if self._shown else []

    def own_statistics(self) -> dict[str, float]:
        """The statistics that LLMBar publishes for such a file; empty for AlpacaEval's files."""
        return llmbar_statistics(self._rows) if self._shown else {}

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair: the stored preference for the first answer.

        If the file lacks this order, the verdict comes from the other one. Verdicts of several annotators are averaged;
        the manifest has their number. LLMBar's files have both orders.
        """
        return self._as_shown(pairs) if self._shown else [self._lookup(pair) for pair in pairs]

    @property
    def both_orders(self) -> bool:
        """Whether the file has both orders of some pair; each order then has its own verdict."""
        return any(
            (q, second, first) in self._verdicts for q, first, second in self._verdicts if first != second
        )

    def holds(self, pair: Pair) -> bool:
        """Whether the file has a verdict on the pair in this order."""
        return (self._question(pair), pair.first, pair.second) in self._verdicts

    def _question(self, pair: Pair) -> str:
        """The pair's question as the file has it, which may differ in white space or Unicode form."""
        given = merge_input(pair.instruction, pair.input)
        return given if given in self._questions else self._forms.get(text_form(given), given)

    @cached_property
    def _questions(self) -> set[str]:
        return {question for question, _, _ in self._verdicts}

    @cached_property
    def _forms(self) -> dict[str, str]:
        return {text_form(question): question for question in self._questions}

    def _as_shown(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Verdicts on the pairs in exactly this order; repeated pairs get the file's verdicts in turn."""
        missing = [Verdict(None, "missing: the file has no verdict on these two answers in this order")]
        uses: Counter[Shown] = Counter()
        verdicts = []
        for pair in pairs:
            shown = (merge_input(pair.instruction, pair.input), pair.first, pair.second)
            stored = self._shown.get(shown, missing)
            verdicts.append(stored[uses[shown] % len(stored)])
            uses[shown] += 1
        return verdicts

    def _lookup(self, pair: Pair) -> Verdict:
        question = self._question(pair)
        found, turned = self._verdicts.get((question, pair.first, pair.second), []), False
        if not found:
            found, turned = self._verdicts.get((question, pair.second, pair.first), []), True
        if not found:
            return Verdict(None, "missing: the file has no verdict on these two answers")
        given = [v.preference for v in found if v.preference is not None]
        if not given:
            return found[0]
        mean = sum(given) / len(given)
        return Verdict(1.0 - mean if turned else mean, raw=found[0].raw)

    def _averaged(self) -> int:
        """Number of verdicts that are means over several annotators."""
        who: dict[tuple[str, frozenset[str]], set[str]] = {}
        for row in [] if self._shown else self._rows:
            answers = frozenset((row["output_1"], row["output_2"]))
            key = (merge_input(row["instruction"], row.get("input") or ""), answers)
            who.setdefault(key, set()).add(str(row.get("annotator")))
        return sum(len(names) > 1 for names in who.values())

    def _read_verdicts(self) -> None:
        seen: dict[tuple[str, ...], int] = {}
        for number, row in self._rows.numbered():
            question = merge_input(row["instruction"], row.get("input") or "")
            key = (question, row["output_1"], row["output_2"])
            identity = (
                *key,
                str(row.get("annotator")),
                str(row.get("generator_1")),
                str(row.get("generator_2")),
            )
            if identity in seen:
                raise DataError(
                    f"{self.path}: row {number} repeats row {seen[identity]}; remove one of the two"
                )
            seen[identity] = number
            self._verdicts.setdefault(key, []).append(self._verdict(row))

    @staticmethod
    def _verdict(row: Mapping[str, Any]) -> Verdict:
        value = row.get("preference")
        raw = json.dumps(value)
        if value is None or math.isnan(value):
            return Verdict(None, "unparsed", raw)
        if value < 0:
            return Verdict(None, "failed", raw)
        return Verdict(0.5 if value in (0, 1.5) else 2.0 - value, raw=raw)

    def _binary(self) -> bool:
        return bool(self._shown) or all(
            row["preference"] in (0, 1, 1.5, 2) for row in self._rows if _is_verdict(row.get("preference"))
        )


def _is_verdict(value: Any) -> bool:
    return value is not None and value == value and not (isinstance(value, int | float) and value < 0)


def _checked(row: Row) -> Row:
    """The row, with an input.

    Raises:
        RowFault: a field is missing or has another type, or the preference is out of range.
    """
    for name in FIELDS:
        text_field(row, name)
    texts: Row = {name: text_field(row, name, optional=True) for name in ("input", "dataset") if name in row}
    value = row.get("preference")
    if not _is_verdict(value) or value in (0, 1.5):
        return {**row, **texts}
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 2:
        raise RowFault(f'"preference" is {shown_value(value)}; expected a number in [1, 2], 0, -1 or null')
    return {**row, **texts}
