"""Sealed JSON documents (run.json, report.json, matrix.json, manifests): an edit is noticed when they are read.

A document holds the hash of its other keys under `SEAL`. Documents written before seals have none and are read as they
are; a seal protects from damage and from edits by hand, not from somebody who writes a new one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import sha256, write_json

SEAL = "seal"


def seal_of(document: Mapping[str, Any]) -> str:
    """sha256 (hex) of the document's keys other than `SEAL`, independent of order and white space."""
    content = {key: value for key, value in document.items() if key != SEAL}
    return sha256(json.dumps(content, sort_keys=True).encode("ascii"))


def with_seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the document with its seal."""
    plain: dict[str, Any] = json.loads(
        json.dumps(document)
    )  # as it will be read: keys are text, tuples are lists
    return {**plain, SEAL: seal_of(plain)}


def write_sealed(path: Path, document: Mapping[str, Any]) -> None:
    """Writes a JSON document with its seal, atomically."""
    write_json(path, with_seal(document))


def read_sealed(path: Path, what: str, remedy: str) -> dict[str, Any]:
    """The JSON object in a file, without its seal.

    Args:
        what: the file's description at the start of an error message.
        remedy: the end of an error message.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read, is not a JSON object, or was changed after it was written.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{what}: {path.name} cannot be read ({error.strerror}); {remedy}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{what}: {path.name} is not JSON, or truncated; {remedy}") from None
    return opened(found, f"{what}: {path.name}", remedy)


def opened(found: Any, what: str, remedy: str) -> dict[str, Any]:
    """A document without its seal.

    Raises:
        DataError: it is not an object, or its content is not what was sealed.
    """
    if not isinstance(found, dict):
        raise DataError(f"{what} is not a JSON object; {remedy}")
    if SEAL in found and found[SEAL] != seal_of(found):
        raise DataError(f"{what} was changed after it was written; {remedy}")
    return {key: value for key, value in found.items() if key != SEAL}
