"""Finds files that may be gzipped, and validates text fields of their rows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError


def find_file(path: Path) -> Path | None:
    """The file, or the same with .gz appended; None if neither exists."""
    return next((each for each in (path, path.with_name(f"{path.name}.gz")) if each.is_file()), None)


def text_of(path: Path, number: int, row: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    """A text field of row `number`; if `optional`, a missing or null field is "".

    Raises:
        DataError: it is missing or not text.
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
