"""Reads users' files as bytes, text, JSON and TOML, within limits of size, nesting and digits; a fault is one line.

Files may be gzipped (told by their first bytes) and in UTF-8, UTF-16 or UTF-32 with or without a byte-order mark.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError

MAX_BYTES = 2**30
"""Maximum size of a file, after decompression."""
MAX_RATIO, ANY_RATIO = 100, 2**26
"""Maximum ratio of decompression, for more than so many bytes: text compresses by about 10, and a bomb by 1000."""
MAX_DEPTH = 64
"""Maximum nesting of a value."""
MAX_DIGITS = 100
"""Maximum digits of an integer: sums of such are floating-point numbers, and nothing is counted or named by more."""
PACKED = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of formats that are not read."""
BEYOND = "beyond the limits: "
"""Begins the message on a TOML value that is valid but beyond the limits."""
LINE_END = re.compile(r"\r\n|\r|\n")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


@dataclass(frozen=True)
class Unreadable:
    """Stands for a JSON value beyond the limits."""

    why: str


class NotJson(ValueError):
    """A text that is not JSON; `line` counts from 1."""

    def __init__(self, why: str, line: int = 1) -> None:
        super().__init__(why)
        self.why, self.line = why, line


def read_bytes(path: Path) -> bytes:
    """A file's bytes, decompressed if gzipped.

    Raises:
        DataError: the file is missing, damaged, or larger than the limits.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f'"{path}": cannot be read ({reason}); give an existing file') from None
    if len(data) > MAX_BYTES:
        raise DataError(f'"{path}": is larger than {MAX_BYTES >> 20} MiB; split it')
    for magic, name in PACKED.items():
        if data.startswith(magic):
            raise DataError(f'"{path}": is compressed by {name}; decompress it, or compress it by gzip')
    return _unpacked(path, data) if data.startswith(b"\x1f\x8b") else data


def unpacked_limit(size: int) -> int:
    """How many bytes so many compressed ones may unpack to."""
    return min(MAX_BYTES, max(ANY_RATIO, MAX_RATIO * size))


def _unpacked(path: Path, data: bytes) -> bytes:
    limit = unpacked_limit(len(data))
    found = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while chunk := file.read(2**20):
                found += chunk
                if len(found) > limit:
                    raise DataError(
                        f'"{path}": {len(data)} bytes of gzip unpack to more than {limit >> 20} MiB; decompress it '
                        "if it is what you expect"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f'"{path}": is damaged gzip ({error}); download or write it again') from None
    return bytes(found)


def read_text(path: Path, expected: str = "text") -> str:
    """A text file without its byte-order mark; line ends are kept."""
    return decode(path, read_bytes(path), expected)


def decode(path: Path, data: bytes, expected: str) -> str:
    """The text of a file's bytes; `path` and `expected` are for the message.

    Raises:
        DataError: the data is not text.
    """
    try:
        return data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError:
        raise DataError(f'"{path}": not text in UTF-8 or UTF-16; expected {expected}') from None


def read_json(path: Path, expected: str) -> Any:
    """The value of a JSON file, or the list of values of a JSON-lines file; see `parse_json`."""
    return parse_json(path, read_bytes(path), expected)


def parse_json(path: Path, data: bytes, expected: str) -> Any:
    """The value of a JSON document, or the list of values of JSON lines.

    Args:
        path: the file `data` was read from, for the error message.
        expected: the expected format, for the error message.

    Raises:
        DataError: the data is neither, not text, or beyond the limits.
    """
    found = json_values(path, data, expected)
    for number, value in enumerate(found if isinstance(found, list) else [found], 1):
        if isinstance(value, NotJson):
            raise _not_json(path, value, expected)
        if fault := fault_of(value):
            row = f"row {number}: " if isinstance(found, list) else ""
            raise DataError(f'"{path}": {row}{fault}; expected {expected}')
    return found


def json_values(path: Path, data: bytes, expected: str) -> Any:
    """The value of a JSON document, or the values of JSON lines; a line or element that cannot be read is a `NotJson`.

    Raises:
        DataError: the file is neither: empty, not text, cut off, or most of it cannot be read.
    """
    text = decode(path, data, expected)
    if not text.strip():
        raise DataError(f'"{path}": is empty; expected {expected}')
    try:
        return json_value(text)
    except NotJson as error:
        whole = error
    parts = list(_elements(text)) if text.lstrip().startswith("[") else list(_lines(text))
    values: list[Any] = [_value_or_fault(part, line) for line, part in parts]
    faults = [value for value in values if isinstance(value, NotJson)]
    first = faults[0] if faults and not isinstance(values[0], NotJson) else whole
    cut = faults and faults[-1] is values[-1] and text[-1] not in "\r\n]"
    if not values or cut or 2 * len(faults) >= len(values):
        fault = faults[-1] if cut and first is not whole else first
        raise _not_json(path, fault, expected)
    return values


def _not_json(path: Path, fault: NotJson, expected: str) -> DataError:
    return DataError(
        f'"{path}": not JSON, or truncated ({fault.why} at line {fault.line}); expected {expected}'
    )


def json_value(text: str) -> Any:
    """The value of a JSON text. Integers beyond the limit are `Unreadable`; see `fault_of`.

    Raises:
        NotJson: it is not JSON, or nested too deeply for the parser.
    """
    try:
        return json.loads(text, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise NotJson(error.msg, error.lineno) from None
    except RecursionError:
        raise NotJson(f"nested more than {MAX_DEPTH} levels deep") from None


def fault_of(value: Any) -> str:
    """The first value beyond the limits of nesting and digits, with its field, in words; "" if there is none."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if type(inner) in (dict, list, Unreadable) and (why := _beyond(inner)):
                return f"{json.dumps(name)[:60]} is {why}"
        return ""
    why = _beyond(value)
    return f"is {why}" if why else ""


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        ValueError: it is not TOML or beyond the limits; the message says why.
    """
    import tomllib

    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"{BEYOND}nested more than {MAX_DEPTH} levels deep") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # int() of thousands of digits
        raise ValueError(f"{BEYOND}an integer of more than {MAX_DIGITS} digits") from None
    if why := _beyond(found, integers=True):
        raise ValueError(BEYOND + why)
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Raises:
        DataError: the file cannot be read, or is not TOML.
    """
    text = read_text(path, "TOML")
    try:
        return parse_toml(text)
    except ValueError as error:
        raise DataError(f'"{path}": not TOML: {error}') from None


def _integer(digits: str) -> Any:
    return int(digits) if len(digits) <= MAX_DIGITS else Unreadable(f"an integer of {len(digits)} digits")


def _beyond(value: Any, integers: bool = False) -> str:
    """Why a value is beyond the limits, or ""; not recursive, because the value may be nested deeply."""
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, Unreadable):
            return one.why
        if integers and isinstance(one, int) and abs(one) >= 10**MAX_DIGITS:
            return f"an integer of more than {MAX_DIGITS} digits"
        if isinstance(one, dict | list):
            if depth >= MAX_DEPTH:
                return f"nested more than {MAX_DEPTH} levels deep"
            waiting += [(inner, depth + 1) for inner in (one.values() if isinstance(one, dict) else one)]
    return ""


def _value_or_fault(text: str, line: int) -> Any:
    try:
        return json_value(text)
    except NotJson as error:
        return NotJson(error.why, line + error.line - 1)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every line that is not blank; not `splitlines`, which ends a line at U+2028 too."""
    return ((number, line) for number, line in enumerate(LINE_END.split(text), 1) if line.strip())


def _elements(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every element of a JSON list, by its brackets; nothing if they do not close at the end."""
    depth, begin, line, seen = 0, 0, 1, 0
    found: list[tuple[int, str]] = []
    for match in TOKEN.finditer(text):
        token = match[0]
        if token in "[{":
            depth += 1
            begin = match.end() if depth == 1 else begin
        elif (token == "," and depth == 1) or token in "]}":
            depth -= token != ","
            if depth == 0 or token == ",":
                part = text[begin : match.start()]
                here = begin + len(part) - len(part.lstrip())
                line, seen = line + text.count("\n", seen, here), here
                found += [(line, part.strip())] if part.strip() else []
                begin = match.end()
            if depth == 0:
                return iter(found if not text[match.end() :].strip() else ())
    return iter(())
