"""Preference files as data sources: two answers to a prompt, and the preferred one. No data is distributed here.

Every source has a single split, "pairs": rows {instruction, input, chosen, rejected, annotator}, or, if the file gives
the winner by number, {instruction, input, output_1, output_2, preference, annotator} with preference 1, 2, 1.5 for a
tie, or None. Prompts among the 805 evaluation items, and rows that cannot be used, are dropped and listed; the stage
counts ties and repeated rows.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import DataError, RowFault, check_encodable, nearest, shown_value, text_field, usable_rows

from .alpacafarm_ids import known_items, question_id
from .find_file import find_file
from .hh_dialogue import human_turns, read_dialogue
from .messages import has_messages, message_pair

Row = dict[str, Any]


class PreferenceFile:
    """Base class of the sources: one file, its content hash, and the check for evaluation items."""

    name: ClassVar[str]
    version = "1"
    expected: ClassVar[str]
    """Format of a row, for error messages."""
    columns: ClassVar[tuple[str, ...]] = ()
    """Columns that are not text, for CSV."""

    def __init__(self, argument: str = "") -> None:
        path = find_file(Path(argument)) if argument else None
        if path is None:
            found = f'"{argument}": no such file' if argument else "no file given"
            raise DataError(
                f'preferences "{self.name}": {found}; give "{self.name}:FILE", a JSON list, JSON lines, CSV or '
                f"Parquet, plain or gzipped, of {self.expected}"
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
        rows = usable_rows(self.path, f"rows {self.expected}", self._unleaked, columns=self.columns)
        found = dict(rows.numbered())
        return [
            found.get(number, {"reason": "unusable"})
            for number in range(1, len(rows) + len(rows.left_out) + 1)
        ]

    def _unleaked(self, row: Row) -> Row:
        found = self.read(row)
        check_encodable(found)
        leaks = "reason" not in found and any(key in known_items() for key in self.questions(found))
        return {"reason": "evaluation_item"} if leaks else found

    def read(self, row: Mapping[str, Any]) -> Row:
        """A row of the file as a row of "pairs", or {"reason": ...} to drop it.

        Raises:
            RowFault: it cannot be used.
        """
        raise NotImplementedError

    def questions(self, row: Row) -> list[str]:
        """Content ids of the row's questions."""
        return [question_id(row)]

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

    columns = ("preference",)

    def read(self, row: Mapping[str, Any]) -> Row:
        """The row with its preference: 0 and 1.5 are ties, null is no verdict."""
        preference = row.get("preference")
        if preference is not None and preference != preference:  # NaN, as pandas writes null
            preference = None
        if "preference" not in row or isinstance(preference, bool) or preference not in (None, 0, 1, 1.5, 2):
            shown = shown_value(preference) if "preference" in row else "absent"
            raise RowFault(f'"preference" is {shown}; expected 1, 2, 1.5 or 0 (ties), or null')
        return self.pair(
            text_field(row, "instruction"),
            text_field(row, "input", optional=True),
            output_1=text_field(row, "output_1"),
            output_2=text_field(row, "output_2"),
            preference=None if preference is None else 1.5 if preference == 0 else float(preference),
        )


class PreferencePairs(PreferenceFile):
    """Any file with chosen and rejected answers as texts or message lists, or in WebGPT's or PandaLM's layout."""

    name = "preference_pairs"
    expected = (
        '{"prompt" or "instruction"[, "input"], "chosen", "rejected"} of texts or message lists, or as WebGPT\'s '
        "comparisons or PandaLM's test set"
    )
    columns: ClassVar[tuple[str, ...]] = ("score_0", "score_1", "annotator1", "annotator2", "annotator3")

    def read(self, row: Mapping[str, Any]) -> Row:
        """The row, by its fields."""
        if "answer_0" in row:
            return self._webgpt(row)
        if "response1" in row:
            return self._pandalm(row)
        if not has_messages(row):
            return self.pair(
                text_field(row, "instruction" if "instruction" in row else "prompt"),
                text_field(row, "input", optional=True),
                chosen=text_field(row, "chosen"),
                rejected=text_field(row, "rejected"),
            )
        found = message_pair(row)
        if any(question_id({"instruction": text}) in known_items() for text in found.questions):
            return {"reason": "evaluation_item"}
        if found.goes_on:
            return {"reason": "answer_goes_on"}
        return self.pair(found.prompt, "", chosen=found.chosen, rejected=found.rejected)

    def _webgpt(self, row: Mapping[str, Any]) -> Row:
        """openai/webgpt_comparisons (Nakano et al. 2021, arXiv:2112.09332): the higher score wins, equal ones tie."""
        question = row.get("question")
        asked = question if isinstance(question, Mapping) else {"full_text": question}
        scores = [_number(row, f"score_{side}") for side in (0, 1)]
        missing = None in scores
        return self.pair(
            text_field(asked, "full_text"),
            "",
            output_1=text_field(row, "answer_0"),
            output_2=text_field(row, "answer_1"),
            preference=None if missing else _winner(scores[0] or 0.0, scores[1] or 0.0),
        )

    def _pandalm(self, row: Mapping[str, Any]) -> Row:
        """PandaLM's testset-v1.json (Wang et al. 2023, arXiv:2306.05087): the majority of 1, 2 and 0 (tie).

        Departs: without a majority PandaLM takes the first annotator's; here it is a tie.
        """
        votes = [_number(row, name) for name in sorted(row) if name.startswith("annotator")]
        if not set(votes) <= {None, 0, 1, 2}:
            raise RowFault(f"annotators gave {shown_value(votes)}; expected 1, 2 or 0 (tie)")
        cast = [vote for vote in votes if vote is not None]
        return self.pair(
            text_field(row, "instruction"),
            text_field(row, "input", optional=True),
            output_1=text_field(row, "response1"),
            output_2=text_field(row, "response2"),
            preference=_majority(cast) if cast else None,
        )


class HHRLHF(PreferenceFile):
    """Anthropic's HH-RLHF (Bai et al. 2022, arXiv:2204.05862), raw files: dialogues that differ in the last answer."""

    name = "hh_rlhf"
    license = "MIT (anthropics/hh-rlhf)"
    expected = r'{"chosen", "rejected"}, each "\n\nHuman: ...\n\nAssistant: ..."'

    def read(self, row: Mapping[str, Any]) -> Row:
        """The shared part of both dialogues as the instruction, and the two answers."""
        dialogue = read_dialogue(text_field(row, "chosen"), text_field(row, "rejected"))
        if dialogue is None:
            raise RowFault(r'two dialogues without the same beginning "\n\nHuman: ...\n\nAssistant: ..."')
        if dialogue.goes_on:
            return {"reason": "answer_goes_on"}
        return self.pair(dialogue.prompt, "", chosen=dialogue.chosen, rejected=dialogue.rejected)

    def questions(self, row: Row) -> list[str]:
        """Content ids of the whole prompt and of each human turn."""
        return dialogue_questions(row)


def dialogue_questions(row: Row) -> list[str]:
    """Content ids of a dialogue's whole prompt and of each human turn."""
    turns = [row["instruction"], *human_turns(row["instruction"])]
    return [question_id({"instruction": turn}) for turn in turns]


def _number(row: Mapping[str, Any], name: str) -> float | None:
    """A number of a row, None where it is null or NaN."""
    value = row.get(name)
    if name not in row or isinstance(value, bool) or not isinstance(value, int | float | None):
        raise RowFault(f'"{name}" is {shown_value(value) if name in row else "missing"}; expected a number')
    return None if value is None or value != value else float(value)


def _winner(first: float, second: float) -> float:
    """1 or 2 for the higher score, 1.5 for equal ones."""
    return 1.5 if first == second else 1.0 if first > second else 2.0


def _majority(votes: Sequence[float]) -> float:
    """1 or 2 if more votes are so than for each of the others, else 1.5."""
    one, two, tie = (votes.count(value) for value in (1, 2, 0))
    return 1.0 if one > max(two, tie) else 2.0 if two > max(one, tie) else 1.5
