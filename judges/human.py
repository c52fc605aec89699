"""Imported human annotations: "human:FILE", a JSON list or JSON lines, plain or gzipped.

A row is {instruction, input (optional), output_1, output_2, preference, annotator (optional)} with preference 1 or 2
for the better output, 1.5 or 0 for a tie, null for no vote, as in AlpacaFarm's and AlpacaEval's files. A pair may have
votes of several annotators, in either order: the verdict is their mean.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError, Pair, Verdict, merge_input, parse_rows, read_bytes, sha256

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
        self._rows = _rows(path, data)
        self._votes = _votes(path, self._rows)

    def manifest(self) -> Mapping[str, Any]:
        """The hash of the uncompressed file, its number of rows, and the annotators' agreement."""
        several = any(len(votes) > 1 for votes in self._votes.values())
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self._sha256,
            "rows": len(self._rows),
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
        question, turned = _question(pair.instruction, pair.input, pair.first, pair.second)
        votes = self._votes.get(question)
        if votes is None:
            return Verdict(None, "missing: the file has no row on these two answers")
        if not votes:
            return Verdict(None, "unparsed: no annotator of this pair gave a vote")
        given = {who: 1.0 - vote if turned else vote for who, vote in votes.items()}
        return Verdict(sum(given.values()) / len(given), raw=json.dumps(given, sort_keys=True))

    def votes(self, pair: Pair) -> list[float]:
        """Each annotator's preference for the first answer; empty if there are no votes."""
        question, turned = _question(pair.instruction, pair.input, pair.first, pair.second)
        return [1.0 - vote if turned else vote for vote in self._votes.get(question, {}).values()]

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


def _votes(path: Path, rows: Sequence[Mapping[str, Any]]) -> dict[Question, dict[str, float]]:
    """Pair -> annotator -> preference for its first answer."""
    found: dict[Question, dict[str, float]] = {}
    where: dict[tuple[Question, str], int] = {}
    for number, row in enumerate(rows, 1):
        question, turned = _question(
            row["instruction"], row.get("input") or "", row["output_1"], row["output_2"]
        )
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
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in FIRST:
            raise DataError(
                f'"{path}": row {number}: preference {json.dumps(value)}; expected 1, 2, 1.5 or null'
            )
        votes[who] = 1.0 - FIRST[value] if turned else FIRST[value]
    return found


def _rows(path: Path, data: bytes) -> list[dict[str, Any]]:
    rows = parse_rows(path, data, f"a list of {EXPECTED}")
    for number, row in enumerate(rows, 1):
        wrong = [
            name for name in ("instruction", "output_1", "output_2") if not isinstance(row.get(name), str)
        ]
        wrong += [] if isinstance(row.get("input") or "", str) else ["input"]
        wrong += [] if "preference" in row else ["preference"]
        if wrong:
            raise DataError(
                f'"{path}": row {number}: {", ".join(wrong)} missing or not text; expected {EXPECTED}'
            )
    return rows
