"""Reads and writes our own JSON files: equal values give equal bytes, and any Python text round-trips."""

import contextlib
import glob
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rlp_bench.api.errors import DataError

TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}")
"""The names that `unique_beside` gives."""
SURROGATE = re.compile("[\ud800-\udfff]")


def unique_beside(path: Path) -> Path:
    """A hidden name beside `path` that no other process or call uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


def leftovers(path: Path) -> list[Path]:
    """Temporary names (`unique_beside`) for `path`, or in it where it is a folder; all dead if nobody writes now."""
    folder, name = (path, "*") if path.is_dir() else (path.parent, glob.escape(path.name))
    return [found for found in folder.glob(f".{name}.*-*") if TEMPORARY.fullmatch(found.name)]


def remove(path: Path) -> None:
    """Removes a file or a folder, also where another process does the same."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Writes a file atomically: to a temporary file beside it, synced to disk, then renamed.

    A killed process leaves the file unchanged; of two processes that write it, one wins completely.

    Raises:
        OSError: the file cannot be written; no temporary file remains.
    """
    partial = unique_beside(path)
    try:
        with partial.open("xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Writes the bytes of a file atomically; see `replacing`."""
    with replacing(path) as out:
        out.write(data)


def write_text(path: Path, text: str) -> None:
    """Writes a text in UTF-8 atomically; see `replacing`."""
    write_atomic(path, text.encode("utf-8"))


def write_document(path: Path, value: Any) -> None:
    """Writes one JSON document, ASCII only, so that any Python text round-trips."""
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n"
    write_atomic(path, text.encode("ascii"))


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes JSON lines, ASCII only."""
    with replacing(path) as out:
        for row in rows:
            out.write(f"{json.dumps(row, sort_keys=True, allow_nan=False)}\n".encode("ascii"))


def sha256(data: bytes) -> str:
    """The sha256 of `data`, in hex."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(value: Any) -> str:
    """sha256 (hex) of a JSON value in canonical form: sorted keys, no spaces, NaN refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yields one dict per line. Raises DataError with file and line number where a line is not a JSON object."""
    number = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DataError(f"{path}:{number}: not a JSON object; the file is damaged")
                yield row
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{number}: not JSON ({error.msg}); the file is damaged") from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise DataError(f"{path}:{number + 1}: not readable text; the file is damaged") from None
    except OSError as error:
        raise DataError(f'"{path}": cannot be read ({error.strerror}); the file is damaged') from None


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with sorted keys, so that equal rows give equal bytes."""
    with replacing(path) as out:
        for row in rows:
            out.write(f"{_written(row, None)}\n".encode())


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON document with sorted keys and a final newline, atomically."""
    write_atomic(path, (_written(value, 1) + "\n").encode("utf-8"))


def _written(value: Any, indent: int | None) -> str:
    """JSON with sorted keys in Unicode, or in ASCII where a text has a lone surrogate, which UTF-8 cannot hold."""
    text = json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False)
    if text.isascii() or not SURROGATE.search(text):
        return text
    return json.dumps(value, sort_keys=True, indent=indent)
