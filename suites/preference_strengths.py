"""Files of preference pairs with their strength, measured by others. No data is distributed here.

Every source has the splits "pairs" (see `preference_files`) and "strengths": the same rows, whose `strength` is the
mean and `strength_std` the standard deviation of reward differences over several models. Pairs are used with their
label as in the file, whatever the sign of the strength.
"""

import math
from collections.abc import Mapping
from typing import Any

from rlp_bench.api import DataError, RowFault, nearest, shown_value

from .hh_dialogue import ASSISTANT, HUMAN, read_dialogue
from .preference_files import PreferencePairs, Row, dialogue_questions

SPLITS = ("pairs", "strengths")


class PreferenceStrengths(PreferencePairs):
    """Any file with chosen and rejected answers and the strength of the preference."""

    name = "preference_strengths"
    expected = '{"prompt" or "instruction"[, "input"], "chosen", "rejected", "strength"[, "strength_std"]}'
    columns = (*PreferencePairs.columns, "strength", "strength_std")
    strength_names = "strength", "strength_std"
    """The names of mean and standard deviation in the file."""

    def read(self, row: Mapping[str, Any]) -> Row:
        """The pair with its strength."""
        return self.with_strength(row, super().read(row))

    def with_strength(self, row: Mapping[str, Any], pair: Row) -> Row:
        """The pair with the strength of its row in the file; a pair that is dropped stays as it is.

        Raises:
            RowFault: the strength is missing or not a finite number, or the deviation is negative.
        """
        if "reason" in pair:
            return pair
        mean, std = self.strength_names
        found = {mean: row.get(mean), std: row.get(std, 0.0)}
        for name, value in found.items():
            number_like = (
                isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            )
            if not number_like or (name == std and value < 0):
                raise RowFault(
                    f'"{name}" is {shown_value(value)}; expected a finite number'
                    + (", 0 or more" if name == std else "")
                )
        return {**pair, "strength": float(found[mean]), "strength_std": float(found[std])}

    def _first(self, name: str, n: int | None) -> list[Row]:
        if name not in SPLITS:
            raise DataError(f'preferences "{self.name}": has no split "{name}"; {nearest(name, SPLITS)}')
        return super()._first("pairs", n)


class HHRLHFStrength(PreferenceStrengths):
    """HH-RLHF with preference strengths (fnlp/hh-rlhf-strength-cleaned, Wang et al. 2024, arXiv:2401.06080).

    `chosen` and `rejected` are lists of turns, the last one the answer; a turn may begin with its speaker.
    """

    name = "hh_rlhf_strength"
    license = "Apache 2.0 (fnlp/hh-rlhf-strength-cleaned); the dialogues MIT (anthropics/hh-rlhf)"
    expected = (
        '{"chosen": [turns], "rejected": [turns], "mean preference difference": number, '
        '"std preference difference": number}'
    )
    strength_names = "mean preference difference", "std preference difference"

    def read(self, row: Mapping[str, Any]) -> Row:
        """The shared turns as the instruction, the two answers, and the strength."""
        dialogue = read_dialogue(*(_dialogue(row, side) for side in ("chosen", "rejected")))
        if dialogue is None:
            raise RowFault(
                "two lists of turns without the same beginning; expected each with the assistant's answer last"
            )
        if dialogue.goes_on:
            return {"reason": "answer_goes_on"}
        pair = self.pair(dialogue.prompt, "", chosen=dialogue.chosen, rejected=dialogue.rejected)
        return self.with_strength(row, pair)

    def questions(self, row: Row) -> list[str]:
        """Content ids of the whole prompt and of each human turn."""
        return dialogue_questions(row)


def _dialogue(row: Mapping[str, Any], side: str) -> str:
    """The turns of one side as HH-RLHF writes a dialogue; a turn without its speaker is the other one's."""
    turns = row.get(side)
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
        raise RowFault(f'"{side}" is {shown_value(turns)}; expected a list of turns (texts)')
    text = ""
    for place, turn in enumerate(turns):
        speaker = (HUMAN, ASSISTANT)[place % 2]
        named = turn.strip().startswith((HUMAN.strip(), ASSISTANT.strip()))
        text += f"\n\n{turn.strip()}" if named else f"{speaker} {turn.strip()}"
    return text
