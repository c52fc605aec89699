"""Replays stored verdicts: AlpacaEval's `annotations.json` or LLMBar's `result.json`, plain or gzipped.

A row is {instruction, output_1, output_2, preference, ...}, with a preference for output_2 in [1, 2]; 0 and 1.5 are
ties; None, NaN and negative numbers are no verdict (AlpacaEval, metrics/winrate.py).
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import (
    DataError,
    LabeledPair,
    Pair,
    Verdict,
    merge_input,
    parse_json,
    parse_rows,
    read_bytes,
    sha256,
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
        self._shown: dict[Shown, list[Verdict]] = {}
        document = parse_json(self.path, data, EXPECTED)
        if is_llmbar(document):
            self._rows = checked(self.path, document)
            self._shown = llmbar_verdicts(self._rows)
        else:
            self._rows = parse_rows(self.path, data, EXPECTED)
            _check(self.path, self._rows)
            self._read_verdicts()

    def manifest(self) -> Mapping[str, Any]:
        """The names of the annotators, and the hash of the uncompressed file."""
        averaged = self._averaged()
        return {
            "name": self.name,
            "version": self.version,
            "annotators": sorted({str(row["annotator"]) for row in self._rows if row.get("annotator")}),
            "sha256": self._sha256,
            "rows": len(self._rows),
            "noise": 0.0,
            "scale": "binary" if self._binary() and not averaged else "soft",
            **({"averaged": averaged} if averaged else {}),
        }

    def rows(self) -> list[dict[str, Any]]:
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
        return (merge_input(pair.instruction, pair.input), pair.first, pair.second) in self._verdicts

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
        question = merge_input(pair.instruction, pair.input)
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
        for number, row in enumerate(self._rows, 1):
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
            self._verdicts.setdefault(key, []).append(self._verdict(number, row))

    def _verdict(self, number: int, row: Mapping[str, Any]) -> Verdict:
        value = row.get("preference")
        raw = json.dumps(value)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return Verdict(None, "unparsed", raw)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(
                f"{self.path}: row {number}: preference {raw}; expected a number in [1, 2], 0, -1 or null"
            )
        if value < 0:
            return Verdict(None, "failed", raw)
        if value in (0, 1.5):
            return Verdict(0.5, raw=raw)
        if not 1 <= value <= 2:
            raise DataError(
                f"{self.path}: row {number}: preference {raw}; expected a number in [1, 2], 0, -1 or null"
            )
        return Verdict(2.0 - value, raw=raw)

    def _binary(self) -> bool:
        return bool(self._shown) or all(
            row["preference"] in (0, 1, 1.5, 2) for row in self._rows if _is_verdict(row.get("preference"))
        )


def _is_verdict(value: Any) -> bool:
    return value is not None and value == value and value >= 0


def _check(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    for number, row in enumerate(rows, 1):
        lacking = [field for field in FIELDS if field not in row]
        if lacking:
            raise DataError(f"{path}: row {number} lacks {', '.join(lacking)}; expected {EXPECTED}")
        wrong = [field for field in FIELDS if not isinstance(row[field], str)]
        if wrong:
            raise DataError(
                f"{path}: row {number}: {', '.join(wrong)} must be text; correct or remove the row"
            )
    if not any("preference" in row for row in rows):
        raise DataError(f"{path}: no row has a preference; expected {EXPECTED}")
