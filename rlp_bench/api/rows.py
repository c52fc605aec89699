"""Reads users' files of rows: a JSON list, JSON lines, CSV, TSV or Parquet, plain or gzipped (`api.documents`).

A row that cannot be used (not an object, a field missing or not text) is left out and listed with its number and the
reason, unless the reading is strict or more than a tenth of the rows are so; then it is an error.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from rlp_bench.api.documents import (
    MAX_BYTES,
    NotJson,
    decode,
    fault_of,
    json_values,
    read_bytes,
    unpacked_limit,
)
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import SURROGATE

Row = dict[str, Any]
T = TypeVar("T")
S = TypeVar("S")
MOST_LEFT_OUT = 0.1
"""Fraction of rows above which a file is refused instead of read without them."""
MOST_KINDS = 6
"""Maximum number of kinds of fault in a message."""
SEPARATORS = ",;\t"
WORDS = {"": None, "nan": None, "none": None, "null": None, "true": True, "false": False}
"""Cells of a CSV column that is not text."""


class RowFault(DataError):
    """Why a row cannot be used, in words: '"output" is missing'."""


class LeftOut(NamedTuple):
    """A row that was left out; `row` counts from 1."""

    row: int
    fault: str


@dataclass
class Reading:
    """How files are read during a command, and the rows that were left out, by file."""

    strict: bool = False
    files: dict[str, tuple[int, list[LeftOut]]] = field(default_factory=dict)
    """Path -> (number of rows, rows left out)."""

    def lines(self) -> list[str]:
        """One line per file of which rows were left out."""
        found = []
        for path, (count, rows) in self.files.items():
            first = f"{'first row' if len(rows) > 1 else 'row'} {rows[0].row}: {rows[0].fault}"
            found.append(
                f'left out: {len(rows)} of {count} rows of "{path}" ({first}); --strict refuses them'
            )
        return found

    def found(self) -> dict[str, Any]:
        """{"left_out": `as_json()`} if rows were left out, else nothing."""
        return {"left_out": self.as_json()} if self.files else {}

    def as_json(self) -> list[dict[str, Any]]:
        """The same as JSON: {path, rows, left_out: [{row, fault}]}."""
        return [
            {"path": path, "rows": count, "left_out": [one._asdict() for one in rows]}
            for path, (count, rows) in self.files.items()
        ]


_current = Reading()


@contextmanager
def reading(strict: bool = False) -> Iterator[Reading]:
    """Within the context, faulty rows of users' files are collected, or errors if `strict`."""
    global _current
    before, _current = _current, Reading(strict)
    try:
        yield _current
    finally:
        _current = before


class Rows(list[T], Generic[T]):
    """The usable rows of a file in order, their numbers in the file, and those left out."""

    def __init__(
        self, path: Path, expected: str, given: Sequence[tuple[int, T]], left_out: Sequence[LeftOut]
    ) -> None:
        super().__init__(row for _, row in given)
        self.path, self.expected = path, expected
        self.numbers = [number for number, _ in given]
        self.left_out = list(left_out)

    def numbered(self) -> Iterator[tuple[int, T]]:
        """(number in the file from 1, row)."""
        return zip(self.numbers, self, strict=True)

    def read(self, convert: Callable[[T], S]) -> "Rows[S]":
        """The rows converted; those for which `convert` raises `RowFault` are left out.

        Raises:
            DataError: the reading is strict, or too many rows are left out.
        """
        found: list[tuple[int, S]] = []
        left_out = list(self.left_out)
        for number, row in self.numbered():
            try:
                found.append((number, convert(row)))
            except RowFault as fault:
                left_out.append(LeftOut(number, str(fault)))
        left_out.sort()
        _allow(self.path, self.expected, len(found) + len(left_out), left_out)
        return Rows(self.path, self.expected, found, left_out)


def read_rows(path: Path, expected: str) -> list[Row]:
    """The rows (at least one) of a file; see `parse_rows`."""
    return parse_rows(path, read_bytes(path), expected)


def parse_rows(path: Path, data: bytes, expected: str) -> list[Row]:
    """The rows (at least one) of a file's bytes.

    Raises:
        DataError: the file is in none of the formats, or has a row that is no object or beyond the limits.
    """
    found = _all_rows(path, data, expected, ())
    if found.left_out:
        raise _refusal(path, expected, len(found) + len(found.left_out), found.left_out)
    return list(found)


def usable_rows(
    path: Path,
    expected: str,
    convert: Callable[[Row], T],
    *,
    columns: Sequence[str] = (),
    data: bytes | None = None,
) -> Rows[T]:
    """The rows of a user's file for which `convert` raises no `RowFault`; the others are left out and listed.

    Args:
        columns: names of columns that are not text, for CSV, whose cells are all text.
        data: the file's bytes, if they were read before.

    Raises:
        DataError: the file is in none of the formats, the reading is strict, or too many rows are left out.
    """
    return _all_rows(path, read_bytes(path) if data is None else data, expected, columns).read(convert)


def text_field(row: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    """A text field of a row; if `optional`, a field that is missing, null or NaN (as pandas writes it) is "".

    Raises:
        RowFault: it is missing or not text.
    """
    value = row.get(name)
    if isinstance(value, str):
        return value
    if optional and (value is None or value != value):
        return ""
    if name not in row:
        raise RowFault(
            f'"{name}" is missing; the row has {", ".join(sorted(map(str, row))[:8]) or "nothing"}'
        )
    raise RowFault(f'"{name}" is not text: {shown_value(value)}')


def check_encodable(row: Mapping[str, Any]) -> None:
    """Raises `RowFault` if a text of the row has a lone surrogate: it is no Unicode text, and no tokenizer takes it."""
    for name, value in row.items():
        if isinstance(value, str) and (found := SURROGATE.search(value)):
            raise RowFault(f'"{name}" has a lone surrogate, {ascii(found[0])[1:-1]}')


def shown_value(value: Any) -> str:
    """The start of a value as JSON, for a message."""
    return json.dumps(value, default=lambda other: type(other).__name__)[:40]


def cells_of(path: Path, data: bytes, expected: str, separator: str = ",") -> list[list[str]]:
    """The cells of a CSV file, all as text: "None" and "NA" are words. Blank lines are skipped.

    Raises:
        DataError: the file is not text, or not CSV.
    """
    csv.field_size_limit(MAX_BYTES)
    lines = csv.reader(
        io.StringIO(decode(path, data, expected), newline=""), delimiter=separator, strict=True
    )
    try:
        return [cells for cells in lines if cells]
    except csv.Error as error:
        raise DataError(
            f'"{path}": not CSV ({error} at line {lines.line_num}); expected {expected}'
        ) from None


def _all_rows(path: Path, data: bytes, expected: str, columns: Sequence[str]) -> Rows[Row]:
    """All rows that are objects within the limits; the others as left out, and no file is refused for them."""
    if data.startswith(b"PAR1"):
        found = _parquet(path, data, expected)
    elif path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv")) and not _begins_as_json(
        path, data, expected
    ):
        found = _csv(path, data, expected, columns)
    else:
        found = json_values(path, data, expected)
        if isinstance(found, dict):  # JSON lines with one line
            found = [found]
        if not isinstance(found, list):
            raise DataError(f'"{path}": contains a JSON {_named(found)}; expected {expected}')
    if not found:
        raise DataError(f'"{path}": is an empty list; expected {expected}')
    given: list[tuple[int, Row]] = []
    left_out: list[LeftOut] = []
    for number, row in enumerate(found, 1):
        if fault := _fault(row):
            left_out.append(LeftOut(number, fault))
        else:
            given.append((number, row))
    return Rows(path, expected, given, left_out)


def _begins_as_json(path: Path, data: bytes, expected: str) -> bool:
    return decode(path, data, expected).lstrip().startswith(("[", "{"))


def _fault(row: Any) -> str:
    if isinstance(row, NotJson):
        return f"not JSON, or truncated ({row.why} at line {row.line})"
    if isinstance(row, RowFault):
        return str(row)
    return fault_of(row) if isinstance(row, dict) else f"is a {_named(row)}, not an object"


def _csv(path: Path, data: bytes, expected: str, columns: Sequence[str]) -> list[Any]:
    """A row per line after the header, or a `RowFault` for one with more or fewer cells."""
    text = decode(path, data, expected)
    header = text.lstrip().partition("\n")[0]
    lines = cells_of(path, data, expected, max(SEPARATORS, key=header.count))
    if not lines:
        raise DataError(f'"{path}": is empty; expected {expected}')
    names = [name.strip() for name in lines[0]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f'"{path}": the header names "{twice[0]}" twice; expected {expected}')
    found: list[Any] = []
    for cells in lines[1:]:
        if len(cells) != len(names):
            found.append(RowFault(f"has {len(cells)} cells, and the header {len(names)}"))
        else:
            row = dict(zip(names, cells, strict=True))
            found.append({**row, **{name: _typed(row[name]) for name in columns if name in row}})
    return found


def _typed(cell: str) -> Any:
    """The null, truth value or number in a cell; the text itself if it is none."""
    word = cell.strip().lower()
    if word in WORDS:
        return WORDS[word]
    try:
        number = float(word)
    except ValueError:
        return cell
    return int(number) if math.isfinite(number) and number == int(number) else number


def _parquet(path: Path, data: bytes, expected: str) -> list[Row]:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DataError(
            f'"{path}": Parquet needs pyarrow, which is not installed: pip install "rlp-bench[parquet]"; or convert '
            "the file to JSON lines"
        ) from None
    found: list[Row] = []
    size = 0
    try:
        for batch in ParquetFile(io.BytesIO(data)).iter_batches(1024):
            size += batch.nbytes
            if size > (limit := unpacked_limit(len(data))):
                raise DataError(f'"{path}": is larger than {limit >> 20} MiB unpacked; split it')
            found += batch.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(f'"{path}": is damaged Parquet ({reason}); expected {expected}') from None
    return found


def _allow(path: Path, expected: str, count: int, left_out: Sequence[LeftOut]) -> None:
    """Records the rows left out of a file. Raises DataError if there may be none, or not so many."""
    if not left_out:
        return
    if _current.strict or len(left_out) > MOST_LEFT_OUT * count:
        raise _refusal(path, expected, count, left_out)
    before, known = _current.files.get(str(path), (0, []))
    _current.files[str(path)] = (max(before, count), sorted({*known, *left_out}))


def _refusal(path: Path, expected: str, count: int, left_out: Sequence[LeftOut]) -> DataError:
    number, fault = left_out[0]
    if len(left_out) == 1:
        colon = "" if fault.startswith(("is ", "has ")) else ":"
        return DataError(f'"{path}": row {number}{colon} {fault}; expected {expected}; correct or remove it')
    kinds: dict[str, list[int]] = {}
    for number, fault in left_out:
        kinds.setdefault(fault, []).append(number)
    named = ", ".join(
        f"{len(rows)} {fault} (row {rows[0]})" for fault, rows in list(kinds.items())[:MOST_KINDS]
    )
    return DataError(
        f'"{path}": {len(left_out)} of {count} rows cannot be used: {named}; expected {expected}; correct or remove '
        "them"
    )


def _named(value: Any) -> str:
    kinds = {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")
