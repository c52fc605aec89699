"""Reads users' JSON files and writes ours: equal values give equal bytes, and any Python text round-trips."""

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
    """A file's bytes, decompressed if gzipped (detected by the first two bytes, not by the name)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f'"{path}": cannot be read ({error.strerror}); give an existing file') from None
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise DataError(f'"{path}": is damaged gzip ({error}); download or write it again') from None


def read_json(path: Path, expected: str) -> Any:
    """The value of a JSON file, or the list of values of a JSON-lines file, plain or gzipped; see `parse_json`."""
    return parse_json(path, read_bytes(path), expected)


def read_rows(path: Path, expected: str) -> list[dict[str, Any]]:
    """The objects of a JSON list or JSON-lines file (at least one), plain or gzipped; see `parse_rows`."""
    return parse_rows(path, read_bytes(path), expected)


def parse_json(path: Path, data: bytes, expected: str) -> Any:
    """The value of a JSON document, or the list of values of JSON lines.

    Args:
        path: the file `data` was read from, for the error message.
        expected: the expected format, for the error message.

    Raises:
        DataError: the data is neither, or not text.
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
                f'"{path}": not JSON, or truncated ({fault} at line {where}); expected {expected}'
            ) from None
    return values


def parse_rows(path: Path, data: bytes, expected: str) -> list[dict[str, Any]]:
    """The objects (at least one) of a JSON list or of JSON lines; see `parse_json`."""
    rows = parse_json(path, data, expected)
    if isinstance(rows, dict):  # JSON lines with one line
        rows = [rows]
    if not isinstance(rows, list):
        raise DataError(f'"{path}": contains a JSON {_named(rows)}; expected {expected}')
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
    """Writes a file atomically: to a temporary file beside it, synced to disk, then renamed.

    A killed process leaves the file unchanged; of two processes that write it, one wins completely.

    Raises:
        OSError: the file cannot be written; no temporary file remains.
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
    """Writes one JSON document, ASCII only, so that any Python text round-trips."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n", encoding="ascii")


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes JSON lines, ASCII only."""
    with path.open("w", encoding="ascii") as out:
        for row in rows:
            out.write(json.dumps(row, sort_keys=True, allow_nan=False) + "\n")


def sha256(data: bytes) -> str:
    """The sha256 of `data`, in hex."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(value: Any) -> str:
    """sha256 (hex) of a JSON value in canonical form: sorted keys, no spaces, NaN refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yields one dict per line. Raises DataError with file and line number where a line is not JSON."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not JSON ({error.msg}); the file is damaged") from None


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with sorted keys, so that equal rows give equal bytes."""
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n")


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON document with sorted keys and a final newline, atomically."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode("utf-8"))
