"""Imported human annotations: "human:FILE", a JSON list, JSON lines, CSV or Parquet, plain or gzipped.

A row is {instruction, input (optional), output_1, output_2, preference, annotator (optional)} with preference 1 or 2
for the better output, 1.5 or 0 for a tie, null for no vote, as in AlpacaFarm's and AlpacaEval's files. A pair may have
votes of several annotators, in either order: the verdict is their mean.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rlp_bench.api import (
    DataError,
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

EXPECTED = '{"instruction", "output_1", "output_2", "preference": 1, 2, 1.5 or null, "annotator"}'
FIRST = {1: 1.0, 2: 0.0, 1.5: 0.5, 0: 0.5}
"""Stored preference -> preference for output_1."""
Question = tuple[str, str, str]
"""(instruction and input, one answer, the other); the answers in sorted order."""


class Human:
    """Looks verdicts up by content; the verdict on a pair without votes is missing."""

    name = "human"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        if not argument:
            raise DataError('judge "human": needs a file of annotations: --judge human:FILE.json')
        path = Path(argument)
        data = read_bytes(path)
        self._sha256 = sha256(data)
        self._rows = usable_rows(path, f"a list of {EXPECTED}", _checked, columns=("preference",), data=data)
        self.left_out = len(self._rows.left_out)
        self._votes = _votes(path, self._rows)

    def manifest(self) -> Mapping[str, Any]:
        """The hash of the uncompressed file, its number of rows, and the annotators' agreement."""
        several = any(len(votes) > 1 for votes in self._votes.values())
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self._sha256,
            "rows": len(self._rows),
            **({"left_out": self.left_out} if self.left_out else {}),
            "agreement": self.agreement(),
            "noise": 0.0,
            "scale": "soft" if several else "binary",
        }

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the file, unchanged."""
        return self._rows

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair: the mean vote for the first answer; `raw` has the votes by annotator."""
        return [self._verdict(pair) for pair in pairs]

    def _verdict(self, pair: Pair) -> Verdict:
        votes, turned = self._find(pair)
        if votes is None:
            return Verdict(None, "missing: the file has no row on these two answers")
        if not votes:
            return Verdict(None, "unparsed: no annotator of this pair gave a vote")
        given = {who: 1.0 - vote if turned else vote for who, vote in votes.items()}
        return Verdict(sum(given.values()) / len(given), raw=json.dumps(given, sort_keys=True))

    def votes(self, pair: Pair) -> list[float]:
        """Each annotator's preference for the first answer; empty if there are no votes."""
        votes, turned = self._find(pair)
        return [1.0 - vote if turned else vote for vote in (votes or {}).values()]

    def _find(self, pair: Pair) -> tuple[dict[str, float] | None, bool]:
        """The votes by annotator, and whether the answers were swapped for them; None if the file lacks the pair."""
        question, turned = _question(pair.instruction, pair.input, pair.first, pair.second)
        known = question if question in self._votes else self._by_form.get(_form(question), question)
        return self._votes.get(known), turned

    @cached_property
    def _by_form(self) -> dict[Question, Question]:
        return {_form(question): question for question in self._votes}

    def agreement(self) -> dict[str, Any]:
        """Agreement between annotators: `pairwise` is the share of equal pairs of votes, averaged over items.

        It is None if no item has two votes. `rlp-bench audit` computes the agreement that a judge is compared with,
        that of one annotator with the others, by the same rule for annotators and judge.
        """
        several = [sorted(votes.values()) for votes in self._votes.values() if len(votes) > 1]
        people = {who for votes in self._votes.values() for who in votes if not who.startswith("row ")}
        return {
            "items": len(self._votes),
            "items_with_several": len(several),
            "annotators": len(people),
            "pairwise": _mean([_pairwise(votes) for votes in several]),
        }


def _pairwise(votes: Sequence[float]) -> float:
    n = len(votes)
    equal = sum(votes[i] == votes[j] for i in range(n) for j in range(i))
    return equal / (n * (n - 1) / 2)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _question(instruction: str, input: str, first: str, second: str) -> tuple[Question, bool]:
    """A key that does not depend on the order of the answers, and whether they were swapped for it."""
    whole = merge_input(instruction, input)
    turned = second < first
    return ((whole, second, first) if turned else (whole, first, second)), turned


def _form(question: Question) -> Question:
    """The key of a pair whose instruction differs in white space or Unicode form only."""
    return (text_form(question[0]), *question[1:])


def _votes(path: Path, rows: Rows[dict[str, Any]]) -> dict[Question, dict[str, float]]:
    """Pair -> annotator -> preference for its first answer."""
    found: dict[Question, dict[str, float]] = {}
    where: dict[tuple[Question, str], int] = {}
    for number, row in rows.numbered():
        question, turned = _question(row["instruction"], row["input"], row["output_1"], row["output_2"])
        who = f"row {number}" if row.get("annotator") is None else str(row["annotator"])
        if (question, who) in where:
            raise DataError(
                f'"{path}": row {number}: annotator "{who}" judged this pair in row {where[question, who]} already; '
                "remove one of the two rows"
            )
        where[question, who] = number
        votes = found.setdefault(question, {})
        value = row["preference"]
        if value is None:
            continue
        votes[who] = 1.0 - FIRST[value] if turned else FIRST[value]
    return found


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """The row, with an input and with null where pandas writes NaN.

    Raises:
        RowFault: a field is missing or has another type.
    """
    for name in ("instruction", "output_1", "output_2"):
        text_field(row, name)
    if "preference" not in row:
        raise RowFault('"preference" is missing')
    value = row["preference"]
    if value is None or value != value:
        return {**row, "input": text_field(row, "input", optional=True), "preference": None}
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in FIRST:
        raise RowFault(f'"preference" is {shown_value(value)}; expected 1, 2, 1.5 or null')
    return {**row, "input": text_field(row, "input", optional=True)}
