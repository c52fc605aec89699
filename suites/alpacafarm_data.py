"""AlpacaFarm's training splits (Dubois et al. 2023, arXiv:2305.14387) from plain JSON files.

Data: tatsu-lab/alpaca_farm on the Hugging Face hub, or an Alpaca file and lists of row numbers. Not distributed here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rlp_bench.api import (
    DataError,
    RowFault,
    Rows,
    check_encodable,
    nearest,
    read_json,
    text_field,
    usable_rows,
)

from .alpacafarm_ids import known_items, question_id
from .find_file import find_file

FILES = {"sft": "sft", "preferences": "preference", "unlabeled": "unlabeled", "dev": "val"}
"""Split -> AlpacaFarm's name: sft 10,000, preference 10,000, unlabeled 20,000, val 2,000 rows."""
INSIDE = "alpaca_instructions"
EXPECTED = 'a list of {"instruction", "input", "output"}'
HOW = (
    'give "alpacafarm_data:FOLDER", a copy of tatsu-lab/alpaca_farm with alpaca_instructions/{sft,preference,unlabeled,'
    'val}.json, or "alpacafarm_data:alpaca_data.json,splits=SPLITS.json"'
)


@dataclass(frozen=True)
class Split:
    """Usable rows, and {row, reason} of the dropped ones."""

    rows: list[dict[str, str]]
    drops: list[dict[str, Any]]


class AlpacaFarmData:
    """Splits from a folder in AlpacaFarm's layout, or from one Alpaca file and a JSON file {split: [row numbers]}.

    Dropped and listed: prompts among the 805 evaluation items, repeated rows, demonstrations without a response. Texts
    are not changed.
    """

    name = "alpacafarm_data"
    version = "1"
    license = "CC BY-NC 4.0 (tatsu-lab: research use only)"

    def __init__(self, argument: str = "") -> None:
        path, comma, splits = argument.partition(",splits=")
        if not path:
            raise DataError(f'data "alpacafarm_data": no files given; {HOW}')
        self.path, self.splits = Path(path), Path(splits) if comma else None
        if not self.path.exists() or (self.path.is_dir() and comma):
            found = "is a folder; remove splits=" if self.path.is_dir() else "no such file or folder"
            raise DataError(f'data "alpacafarm_data": "{path}": {found}; {HOW}')
        if self.path.is_file() and self.splits is None:
            raise DataError(f'data "alpacafarm_data": "{path}" is a single file without splits=; {HOW}')

    def version_of(self, name: str) -> str:
        """The version and a hash of the split's content, so that a changed file changes the artifact."""
        text = json.dumps(self._given(name), sort_keys=True, ensure_ascii=False)
        return f"{self.version}/{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def split(self, name: str, n: int | None = None) -> list[dict[str, str]]:
        """The usable rows among the first n rows of a split (all rows if n is None).

        Raises:
            DataError: no such split, or it has fewer than n rows.
        """
        return self._read(name, n).rows

    def drops(self, name: str, n: int | None = None) -> list[dict[str, Any]]:
        """{row, reason} of each of those n rows that `split` drops."""
        return self._read(name, n).drops

    def _read(self, name: str, n: int | None) -> Split:
        given = self._given(name)
        if n is not None and len(given) < n:
            raise DataError(
                f'data "alpacafarm_data": split "{name}" has {len(given)} rows; expected {n} or more; lower data.{name}'
            )
        rows, drops, seen = [], [], set()
        for number, row in enumerate(given[:n], 1):
            key = tuple(row.values())
            reason = row.get("reason") or ("duplicate" if key in seen else _unusable(name, row))
            seen.add(key)
            if reason:
                drops.append({"row": number, "reason": reason})
            else:
                rows.append(row)
        return Split(rows, drops)

    def _given(self, name: str) -> list[dict[str, str]]:
        """All rows of a split in file order: {instruction, input}, and response in "sft"; or {"reason": "unusable"}."""
        if name not in FILES:
            raise DataError(f'data "alpacafarm_data": has no split "{name}"; {nearest(name, FILES)}')
        if name not in self._cache:
            self._cache[name] = self._from_folder(name) if self.splits is None else self._from_one_file(name)
        return self._cache[name]

    @cached_property
    def _cache(self) -> dict[str, list[dict[str, str]]]:
        return {}

    def _from_folder(self, name: str) -> list[dict[str, str]]:
        folder = self.path / INSIDE if (self.path / INSIDE).is_dir() else self.path
        path = find_file(folder / f"{FILES[name]}.json")
        if path is None:
            raise DataError(f'data "alpacafarm_data": "{folder}" has no {FILES[name]}.json; {HOW}')
        return _in_order(usable_rows(path, EXPECTED, lambda row: _checked(row, name)))

    def _from_one_file(self, name: str) -> list[dict[str, str]]:
        numbers = [place + 1 for place in self._places[FILES[name]]]
        whole, wanted = dict(self._whole.numbered()), set(numbers)
        given = [(number, whole[number]) for number in numbers if number in whole]
        left_out = [one for one in self._whole.left_out if one.row in wanted]
        return _in_order(
            Rows(self.path, EXPECTED, given, left_out).read(lambda row: _checked(row, name)), numbers
        )

    @cached_property
    def _whole(self) -> Rows[dict[str, Any]]:
        return usable_rows(self.path, EXPECTED, dict)

    @cached_property
    def _count(self) -> int:
        return len(self._whole) + len(self._whole.left_out)

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """AlpacaFarm's name of each split -> row numbers in the file, from 0; no row is in two splits."""
        assert self.splits is not None
        found = read_json(self.splits, "{split: [row numbers from 0]}")
        if not isinstance(found, Mapping) or not set(FILES.values()) <= set(found):
            raise DataError(
                f'"{self.splits}": expected {{split: [row numbers]}} of {", ".join(FILES.values())}'
            )
        owner: dict[int, str] = {}
        for name in FILES.values():
            for place in found[name] if isinstance(found[name], list) else [None]:
                if type(place) is not int or not 0 <= place < self._count:
                    raise DataError(
                        f'"{self.splits}": {name}: {json.dumps(place)[:20]} is not a row of "{self.path}", which has '
                        f"{self._count} rows; expected row numbers from 0"
                    )
                if place in owner:
                    raise DataError(
                        f'"{self.splits}": row {place} is in {owner[place]} and in {name}; expected disjoint splits'
                    )
                owner[place] = name
        return {name: found[name] for name in FILES.values()}


def _in_order(rows: Rows[dict[str, str]], numbers: Sequence[int] | None = None) -> list[dict[str, str]]:
    """The rows of these numbers, by default of all in order; {"reason": "unusable"} for those left out."""
    found = dict(rows.numbered())
    count = len(rows) + len(rows.left_out)
    return [found.get(number, {"reason": "unusable"}) for number in numbers or range(1, count + 1)]


def _checked(row: Mapping[str, Any], split: str) -> dict[str, str]:
    found = {
        "instruction": text_field(row, "instruction"),
        "input": text_field(row, "input", optional=True),
    }
    if not found["instruction"].strip():
        raise RowFault('"instruction" is empty')
    found |= {"response": text_field(row, "output")} if split == "sft" else {}
    check_encodable(found)
    return found


def _unusable(split: str, row: Mapping[str, str]) -> str:
    """The reason to drop a row, or ""."""
    if question_id(row) in known_items():
        return "evaluation_item"
    return "empty_response" if split == "sft" and not row["response"].strip() else ""
