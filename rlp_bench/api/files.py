"""Reading users' JSON files and writing our own: equal values give equal bytes, any text survives."""

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError


def read_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked where it is gzipped (told by its first two bytes, not by its name)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f'"{path}": cannot be read ({error.strerror}); give an existing file') from None
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise DataError(f'"{path}": is not whole gzip ({error}); fetch or write it again') from None


def read_rows(path: Path, expected: str) -> list[dict[str, Any]]:
    """A JSON list of objects with at least one; `expected` names the format in the error line."""
    data = read_bytes(path)
    if not data.strip():
        raise DataError(f'"{path}": is empty; expected {expected}')
    try:
        rows = json.loads(data)
    except json.JSONDecodeError as error:
        raise DataError(
            f'"{path}": not JSON, or cut off ({error.msg} at line {error.lineno}); expected {expected}'
        ) from None
    except UnicodeDecodeError:
        raise DataError(f'"{path}": not text in UTF-8; expected {expected}') from None
    if not isinstance(rows, list):
        raise DataError(f'"{path}": holds a JSON {_named(rows)}; expected {expected}')
    if not rows:
        raise DataError(f'"{path}": is an empty list; expected {expected}')
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f'"{path}": row {number} is a {_named(row)}, not an object; expected {expected}')
    return rows


def _named(value: Any) -> str:
    kinds = {dict: "object", list: "list", str: "text", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")


def write_document(path: Path, value: Any) -> None:
    """One JSON document, ASCII only, so that every Python text comes back as it was."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n", encoding="ascii")


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """JSON lines, ASCII only."""
    with path.open("w", encoding="ascii") as out:
        for row in rows:
            out.write(json.dumps(row, sort_keys=True, allow_nan=False) + "\n")


def sha256(data: bytes) -> str:
    """Hex."""
    return hashlib.sha256(data).hexdigest()


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """One dict a line. Raises DataError naming file and line of what is not JSON."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not JSON ({error.msg}); the file is damaged") from None


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with sorted keys, so that equal rows are equal bytes."""
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n")


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON document with sorted keys and a final newline."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
