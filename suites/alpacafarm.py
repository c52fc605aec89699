"""The 805 AlpacaFarm / AlpacaEval instructions from a local file; the package has only their hashes.

`alpacafarm_items.txt`: one line per item, content id of the merged instruction and subset, to distinguish answers to
unknown instructions from items missing in a file. Data: tatsu-lab/alpaca_eval, CC BY-NC 4.0, not distributed here.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rlp_bench.api import DataError, Item, Rows, content_id, text_field, usable_rows

from .alpacafarm_ids import known_items, merged, question_id
from .length_control import length_control, read_difficulty

BASELINES = ("text_davinci_003", "gpt4_1106_preview", "gpt4_turbo")
"""AlpacaEval's reference generators; used only if the texts do not determine the sides."""
EXPECTED = 'a list of {"instruction", "output", "dataset"} as in alpaca_eval.json'
Row = Mapping[str, Any]


class AlpacaFarm:
    """Items with the reference answers of a file: AlpacaEval's reference outputs, or a file of verdicts.

    "alpacafarm:FILE"; "alpacafarm:FILE,difficulty=instruction_difficulty.csv" uses AlpacaEval's own difficulties for
    length control if the references are gpt4_1106_preview's.
    """

    name = "alpacafarm"
    version = "1"
    kind: Literal["win_rate"] = "win_rate"

    def __init__(self, argument: str = "") -> None:
        path, given, difficulty = argument.partition("difficulty=")
        path = path.removesuffix(",") if given else path
        self._items: list[Item] | None = None
        self.left_out = 0
        """Number of rows of the file that were left out."""
        if path:
            self._items, self.left_out = _from_file(Path(path))
        self._difficulty = read_difficulty(Path(difficulty), list(known_items())) if given else None

    def items(self) -> list[Item]:
        """All items, in the file's order."""
        if self._items is None:
            raise DataError(
                'suite "alpacafarm": needs its data: --data alpaca_eval.json (with reference answers), '
                "or --outputs with --judge replay:ANNOTATIONS.json"
            )
        return self._items

    def absent(self, subset: str = "") -> int:
        """How many of the 805, or of one of their subsets, are missing; 0 if none of the items is one of the 805."""
        here = {item.id for item in AlpacaFarm.items(self)} & known_items().keys()
        wanted = [key for key, name in known_items().items() if subset in ("", name)]
        return sum(key not in here for key in wanted) if here else 0

    def own(self) -> int:
        """The number of items if none of them is one of the 805, else 0."""
        items = AlpacaFarm.items(self)
        return 0 if {item.id for item in items} & known_items().keys() else len(items)

    @property
    def title(self) -> str:
        """The name in reports: items that are not AlpacaFarm's are not called so."""
        return "own_items" if self._items is not None and self.own() else self.name

    def length_control(self, items: Sequence[Item]) -> dict[str, Any] | None:
        """Inputs of the length-controlled win rate besides lengths; None if the references are others."""
        return length_control(items, self._difficulty)

    def take(self, verdicts: Sequence[Row], outputs: Sequence[Row]) -> "AlpacaFarm":
        """The suite of the items in a verdict file, given the rows of the policy's outputs file.

        Answered items of the 805 without a verdict are included, without a reference answer.
        """
        found = AlpacaFarm()
        found._difficulty = self._difficulty
        answers = {question_id(row): row for row in outputs}
        judged = from_verdicts(verdicts, {key: row["output"] for key, row in answers.items()})
        ids = {content_id(item.instruction, item.input) for item in judged}
        unjudged = [
            Item(merged(row), subset=known_items()[key])
            for key, row in answers.items()
            if key in known_items() and key not in ids
        ]
        found._items = judged + unjudged
        return found


class Vicuna(AlpacaFarm):
    """The 80 Vicuna items of the 805; if run together with `alpacafarm`, its verdicts are reused."""

    name = "vicuna"

    def items(self) -> list[Item]:
        """The items of that subset, in the file's order."""
        return [item for item in super().items() if item.subset == self.name]

    def absent(self, subset: str = "") -> int:
        """How many of the 80 are missing."""
        return super().absent(self.name)


def from_verdicts(verdicts: Sequence[Row], answers: Mapping[str, str]) -> list[Item]:
    """The judged instructions, each with the reference answer: the side that is not the policy's.

    The policy's side is found by its answer; if that is missing or differs, by the generators' names as in the other
    rows; without names, output_1 is the reference, as in AlpacaEval's files.

    Raises:
        DataError: an instruction was judged against two different references.
    """
    sides = [_policy_side(row, answers.get(question_id(row))) for row in verdicts]
    policy = _commonest(
        row.get(f"generator_{side}") for row, side in zip(verdicts, sides, strict=True) if side
    )
    baseline = None if policy else _baseline(verdicts)
    found: dict[str, Item] = {}
    matched: dict[str, bool] = {}
    for row, side in zip(verdicts, sides, strict=True):
        key = question_id(row)
        reference = row["output_1" if (side or _named_side(row, policy, baseline)) == 2 else "output_2"]
        if key in found and found[key].reference != reference and matched[key] == bool(side):
            raise DataError(
                f"verdict file: {_shown(row['instruction'])} was judged against two different references; "
                "give the verdicts of one comparison, or --data with the reference answers"
            )
        if key not in found or (side and not matched[key]):
            subset = str(row.get("dataset") or known_items().get(key, ""))
            found[key], matched[key] = Item(merged(row), subset=subset, reference=reference), bool(side)
    return list(found.values())


def _policy_side(row: Row, answer: str | None) -> int:
    """1 or 2: the side with the policy's answer; 0 if neither has it or the answer is unknown."""
    if answer is None:
        return 0
    return 2 if row["output_2"] == answer else 1 if row["output_1"] == answer else 0


def _named_side(row: Row, policy: str | None, baseline: str | None) -> int:
    if policy is not None:
        return 1 if row.get("generator_1") == policy != row.get("generator_2") else 2
    return 1 if baseline is not None and row.get("generator_2") == baseline != row.get("generator_1") else 2


def _baseline(verdicts: Sequence[Row]) -> str | None:
    names = {str(row.get(f"generator_{side}")) for row in verdicts for side in (1, 2)}
    known = [name for name in BASELINES if name in names]
    return known[0] if len(known) == 1 else _commonest(row.get("generator_1") for row in verdicts)


def _commonest(names: Any) -> str | None:
    counts = Counter(str(name) for name in names if name)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def _from_file(path: Path) -> tuple[list[Item], int]:
    """The items of a file, and how many of its rows were left out."""
    rows: Rows[dict[str, Any]] = usable_rows(path, EXPECTED, _checked)
    if "output_1" in rows[0]:
        return from_verdicts(rows, {}), len(rows.left_out)
    items: dict[str, Item] = {}
    for number, row in rows.numbered():
        key = question_id(row)
        if key in items:
            raise DataError(f'"{path}": row {number} repeats an instruction; expected one reference per item')
        subset = str(row.get("dataset") or known_items().get(key, ""))
        items[key] = Item(merged(row), subset=subset, reference=row["output"])
    return list(items.values()), len(rows.left_out)


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """A row of reference answers or of verdicts.

    Raises:
        RowFault: a field is missing or not text.
    """
    for name in ("instruction", *(("output_1", "output_2") if "output_1" in row else ("output",))):
        text_field(row, name)
    return {**row, **{name: text_field(row, name, optional=True) for name in ("input", "dataset")}}


def _shown(text: str) -> str:
    return json.dumps(" ".join(text.split())[:60])
