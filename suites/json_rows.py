"""Rows of a JSON file: a list, or one object a line; plain or gzipped."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError


def find_file(path: Path) -> Path | None:
    """The file, or the same with .gz behind it; None where neither is there."""
    return next((each for each in (path, path.with_name(f"{path.name}.gz")) if each.is_file()), None)


def read_json(path: Path, expected: str) -> Any:
    """The document of a file; one that is no JSON document is read as JSON lines, and is then a list.

    Raises:
        DataError: absent, unreadable or neither.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8")
    except FileNotFoundError:
        raise DataError(f'"{path}": there is no such file; {expected}') from None
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f'"{path}": cannot be read ({str(error)[:80]}); {expected}') from None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [_line(path, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f'"{path}": line {number}: not JSON ({error.msg}); expected a JSON list, or one object a line'
        ) from None


def read_rows(path: Path, expected: str) -> list[dict[str, Any]]:
    """The objects of a file, one or more."""
    rows = read_json(path, expected)
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f'"{path}": {expected}')
    return rows


def text_of(path: Path, number: int, row: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    """A text field of row `number`; an `optional` one may be absent or null, which is "".

    Raises:
        DataError: it is missing, or no text, naming file and row.
    """
    value = row.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        found = f"it is {json.dumps(value)[:40]}" if name in row else f"the row has {_names(row)}"
        raise DataError(f'"{path}": row {number}: expected "{name}" as text; {found}')
    return value


def _names(row: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, row))[:8]) or "nothing"
