"""Preference files as data sources: two answers to a prompt, and the preferred one. No data is distributed here.

Every source has a single split, "pairs": rows {instruction, input, chosen, rejected, annotator}, or, if the file gives
the winner by number, {instruction, input, output_1, output_2, preference, annotator} with preference 1, 2, 1.5 for a
tie, or None. Prompts among the 805 evaluation items are dropped and listed; the stage counts ties and repeated rows.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import DataError, nearest, read_rows

from .alpacafarm_ids import known_items, question_id
from .hh_dialogue import human_turns, read_dialogue
from .json_rows import find_file, text_of

Row = dict[str, Any]


class PreferenceFile:
    """Base class of the sources: one file, its content hash, and the check for evaluation items."""

    name: ClassVar[str]
    version = "1"
    expected: ClassVar[str]
    """Format of a row, for error messages."""

    def __init__(self, argument: str = "") -> None:
        path = find_file(Path(argument)) if argument else None
        if path is None:
            found = f'"{argument}": no such file' if argument else "no file given"
            raise DataError(
                f'preferences "{self.name}": {found}; give "{self.name}:FILE", a JSON list or JSON lines, plain or '
                f"gzipped, of {self.expected}"
            )
        self.path = path

    def version_of(self, name: str) -> str:
        """The version and a hash of the file's rows."""
        text = json.dumps(self._given, sort_keys=True, ensure_ascii=False)
        return f"{self.version}/{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def split(self, name: str, n: int | None = None) -> list[Row]:
        """The usable rows among the first n rows of the file (all rows if n is None)."""
        return [row for row in self._first(name, n) if "reason" not in row]

    def drops(self, name: str, n: int | None = None) -> list[Row]:
        """{row, reason} of each of those n rows that `split` drops."""
        given = enumerate(self._first(name, n), 1)
        return [{"row": number, "reason": row["reason"]} for number, row in given if "reason" in row]

    def _first(self, name: str, n: int | None) -> list[Row]:
        if name != "pairs":
            raise DataError(f'preferences "{self.name}": has no split "{name}"; {nearest(name, ["pairs"])}')
        if n is not None and len(self._given) < n:
            raise DataError(
                f'preferences "{self.name}": "{self.path}" has {len(self._given)} rows; expected at least {n}; lower '
                "data.preferences"
            )
        return self._given[:n]

    @cached_property
    def _given(self) -> list[Row]:
        found = []
        for number, raw in enumerate(read_rows(self.path, f"rows {self.expected}"), 1):
            row = self.read(number, raw)
            leaks = "reason" not in row and any(key in known_items() for key in self.questions(row))
            found.append({"reason": "evaluation_item"} if leaks else row)
        return found

    def read(self, number: int, row: Mapping[str, Any]) -> Row:
        """Row `number` of the file as a row of "pairs", or {"reason": ...} to drop it."""
        raise NotImplementedError

    def questions(self, row: Row) -> list[str]:
        """Content ids of the row's questions."""
        return [question_id(row)]

    def text(self, number: int, row: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
        """A text field of a row; see `text_of`."""
        return text_of(self.path, number, row, name, optional=optional)

    def pair(self, instruction: str, input: str, **rest: Any) -> Row:
        """A row of "pairs", or {"reason": "empty"} if the instruction or an answer is empty."""
        answers = [rest[key] for key in ("chosen", "rejected", "output_1", "output_2") if key in rest]
        if not instruction.strip() or not all(answer.strip() for answer in answers):
            return {"reason": "empty"}
        return {"instruction": instruction, "input": input, **rest, "annotator": self.name}


class AlpacaFarmPreferences(PreferenceFile):
    """AlpacaFarm's human, GPT-4 and simulated sets: alpaca_{human,gpt4,noisy_multi}_preference.json."""

    name = "alpacafarm_preferences"
    license = "CC BY-NC 4.0 (tatsu-lab: research use only)"
    expected = '{"instruction", "input", "output_1", "output_2", "preference": 1 or 2}'

    def read(self, number: int, row: Mapping[str, Any]) -> Row:
        """The row with its preference: 0 and 1.5 are ties, null is no verdict."""
        preference = row.get("preference")
        if "preference" not in row or isinstance(preference, bool) or preference not in (None, 0, 1, 1.5, 2):
            shown = json.dumps(preference)[:40] if "preference" in row else "absent"
            raise DataError(
                f'"{self.path}": row {number}: "preference" is {shown}; expected 1, 2, 1.5 or 0 (ties), or null'
            )
        return self.pair(
            self.text(number, row, "instruction"),
            self.text(number, row, "input", optional=True),
            output_1=self.text(number, row, "output_1"),
            output_2=self.text(number, row, "output_2"),
            preference=None if preference is None else 1.5 if preference == 0 else float(preference),
        )


class PreferencePairs(PreferenceFile):
    """Any file with chosen and rejected answers."""

    name = "preference_pairs"
    expected = '{"prompt" or "instruction"[, "input"], "chosen", "rejected"}'

    def read(self, number: int, row: Mapping[str, Any]) -> Row:
        """The row; its prompt is in "instruction" or "prompt"."""
        field = "instruction" if "instruction" in row else "prompt"
        return self.pair(
            self.text(number, row, field),
            self.text(number, row, "input", optional=True),
            chosen=self.text(number, row, "chosen"),
            rejected=self.text(number, row, "rejected"),
        )


class HHRLHF(PreferenceFile):
    """Anthropic's HH-RLHF (Bai et al. 2022, arXiv:2204.05862), raw files: dialogues that differ in the last answer."""

    name = "hh_rlhf"
    license = "MIT (anthropics/hh-rlhf)"
    expected = r'{"chosen", "rejected"}, each "\n\nHuman: ...\n\nAssistant: ..."'

    def read(self, number: int, row: Mapping[str, Any]) -> Row:
        """The shared part of both dialogues as the instruction, and the two answers."""
        dialogue = read_dialogue(self.text(number, row, "chosen"), self.text(number, row, "rejected"))
        if dialogue is None:
            raise DataError(
                f'"{self.path}": row {number}: expected two dialogues with the same beginning, '
                r'"\n\nHuman: ...\n\nAssistant: ..."'
            )
        if dialogue.goes_on:
            return {"reason": "answer_goes_on"}
        return self.pair(dialogue.prompt, "", chosen=dialogue.chosen, rejected=dialogue.rejected)

    def questions(self, row: Row) -> list[str]:
        """Content ids of the whole prompt and of each human turn."""
        turns = [row["instruction"], *human_turns(row["instruction"])]
        return [question_id({"instruction": turn}) for turn in turns]
