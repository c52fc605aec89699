"""Reading users' JSON files and writing our own: equal values give equal bytes, any text survives."""

import contextlib
import gzip
import hashlib
import json
import os
import secrets
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


def read_json(path: Path, expected: str) -> Any:
    """The JSON value of a file, or the list of its lines' values, plain or gzipped; see `parse_json`."""
    return parse_json(path, read_bytes(path), expected)


def read_rows(path: Path, expected: str) -> list[dict[str, Any]]:
    """One or more objects of a file: a JSON list or JSON lines, plain or gzipped; see `parse_rows`."""
    return parse_rows(path, read_bytes(path), expected)


def parse_json(path: Path, data: bytes, expected: str) -> Any:
    """A JSON value, or the list of the values of JSON lines.

    Args:
        path: where `data` was read, and `expected`, the format: for the error line.

    Raises:
        DataError: it is neither, or no text.
    """
    if not data.strip():
        raise DataError(f'"{path}": is empty; expected {expected}')
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError:
        raise DataError(f'"{path}": not text in UTF-8; expected {expected}') from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        whole = error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    values = []
    for number, line in lines:
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            fault, where = (error.msg, number) if values else (whole.msg, whole.lineno)
            raise DataError(
                f'"{path}": not JSON, or cut off ({fault} at line {where}); expected {expected}'
            ) from None
    return values


def parse_rows(path: Path, data: bytes, expected: str) -> list[dict[str, Any]]:
    """One or more objects: a JSON list or JSON lines; see `parse_json`."""
    rows = parse_json(path, data, expected)
    if isinstance(rows, dict):  # JSON lines, one of them
        rows = [rows]
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


def write_atomic(path: Path, data: bytes) -> None:
    """Writes a file that is only ever read as complete: beside it, to the disk, then renamed.

    A kill leaves the file as it was; of two processes that write it, one wins whole.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


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
    """Writes one JSON document with sorted keys and a final newline, whole or not at all."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode("utf-8"))
