"""Imported annotations of people: "human:FILE", a JSON list or JSON lines, plain or gzipped.

A row is {instruction, input (may be absent), output_1, output_2, preference, annotator (may be absent)} with
preference 1 or 2 for the better output, 1.5 or 0 for a tie, null for no vote, as in AlpacaFarm's and AlpacaEval's
files. Several annotators may have judged one pair, in either order: the verdict is the mean of their votes.
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
    """Votes by content; a pair that nobody judged is missing, never guessed."""

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
        """The hash of the (unpacked) file, how many people voted, and how far they agree."""
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
        """The file's rows as they stand."""
        return self._rows

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """Mean vote for the first answer; raw: the votes, by annotator."""
        return [self._verdict(pair) for pair in pairs]

    def _verdict(self, pair: Pair) -> Verdict:
        question, turned = _question(pair.instruction, pair.input, pair.first, pair.second)
        votes = self._votes.get(question)
        if votes is None:
            return Verdict(None, "missing: nobody judged these two answers")
        if not votes:
            return Verdict(None, "unparsed: those who were asked gave no vote")
        given = {who: 1.0 - vote if turned else vote for who, vote in votes.items()}
        return Verdict(sum(given.values()) / len(given), raw=json.dumps(given, sort_keys=True))

    def votes(self, pair: Pair) -> list[float]:
        """Of each person who voted, preference for the first answer; empty where nobody did."""
        question, turned = _question(pair.instruction, pair.input, pair.first, pair.second)
        return [1.0 - vote if turned else vote for vote in self._votes.get(question, {}).values()]

    def agreement(self) -> dict[str, Any]:
        """How far people agree: `pairwise`, the share of pairs of votes that are equal, mean over items.

        None where no item has two votes. What a judge is compared with, one more person's agreement with the others,
        `rlp-bench audit` computes by one rule for people and judge.
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
    """The pair whatever its order, and whether it was turned to get there."""
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
                "keep one of the two"
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
            raise DataError(f'"{path}": row {number}: no {", ".join(wrong)}, or no text; expected {EXPECTED}')
    return rows
