"""The manifest of a sealed artifact, and the check of its files against it.

Hashing gigabytes whenever an artifact is opened would be slow. A file whose size, modification time and change time
are those of its last check is trusted; any other is hashed. ROOT/checked/<artifact>.json has these marks. It is only a
memo: without it, or where it is damaged, the files are hashed again.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError, StoreError
from rlp_bench.api.files import fingerprint
from rlp_bench.api.seals import opened, read_sealed, with_seal

STORE_VERSION = 1
MANIFEST = "manifest.json"
METER = "meter.json"
UNHASHED = {METER, "log.txt"}
"""Files about the execution of a stage, which differ between runs; not part of an artifact's content."""
VERIFY = "RLP_BENCH_VERIFY"
"""Environment variable, set by `--verify`: every file is hashed, whatever its times; workers inherit it."""
Mark = list[int]
"""[size, modification time, change time] of a file, in bytes and nanoseconds."""


def hash_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artifact.

    Raises:
        FileNotFoundError: the folder has none.
        StoreError: it is damaged, was changed, or is of a newer version.
    """
    remedy = _remedy(folder)
    try:
        found = read_sealed(folder / MANIFEST, f'artifact "{folder.name}"', remedy)
    except DataError as error:
        raise StoreError(str(error)) from None
    version = found.get("store_version", 0)
    if isinstance(version, int) and version > STORE_VERSION:
        raise StoreError(f'artifact "{folder.name}" is of store version {version}: upgrade rlp-bench')
    if not _fits(found):
        raise damaged(folder, f"{MANIFEST} lacks a key, or has a value of another type")
    if fingerprint(found["files"]) != found["content"]:
        raise damaged(folder, f"{MANIFEST} was changed after it was written")
    return found


def _fits(found: Mapping[str, Any]) -> bool:
    """Whether a manifest has what readers of an artifact need."""
    kinds = {
        "kind": str,
        "fingerprint": str,
        "content": str,
        "files": dict,
        "bytes": dict,
        "provenance": dict,
    }
    if not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
        return False
    files, sizes = found["files"], found["bytes"]
    return (
        bool(files)
        and files.keys() == sizes.keys()
        and all(isinstance(value, str) for value in files.values())
        and all(type(value) is int for value in sizes.values())
        and not any(Path(name).is_absolute() or ".." in Path(name).parts for name in files)
    )


def read_meter(folder: Path) -> dict[str, Any]:
    """The content of an artifact's meter.json; empty if it has none.

    Raises:
        StoreError: it is damaged, or was changed.
    """
    remedy = "remove the file: the stage's time and work are then unknown"
    what = f'artifact "{folder}"'
    try:
        found = read_sealed(folder / METER, what, remedy)
    except FileNotFoundError:
        return {}
    except DataError as error:
        raise StoreError(str(error)) from None
    tables = [found.get(key, {}) for key in ("counters", "per_second", "input_rows")]
    amounts = [found.get("wall_seconds"), found.get("cpu_seconds"), found.get("attempts", 1)]
    whole = all(isinstance(table, dict) for table in tables)
    if whole:
        amounts += [amount for table in tables for amount in table.values()]
    if not whole or not all(type(amount) in (int, float) and abs(amount) < 1e300 for amount in amounts):
        raise StoreError(f"{what}: {METER} lacks a number, or has a value of another type; {remedy}")
    return {"counters": {}, **found}


def check_files(folder: Path, manifest: Mapping[str, Any], memo: Path, always: bool = False) -> None:
    """Checks that all files are there and are what was sealed.

    Args:
        memo: the file with the marks of the last check.
        always: whether to hash every file, whatever its marks.

    Raises:
        StoreError: a file is missing or was changed.
    """
    marks: dict[str, Mark] = {}
    for name, size in manifest["bytes"].items():
        try:
            found = (folder / name).stat()
        except OSError:
            raise damaged(folder, f"{name} is missing or has another size") from None
        if not (folder / name).is_file() or found.st_size != size:
            raise damaged(folder, f"{name} is missing or has another size")
        marks[name] = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
    known = _known_marks(memo, manifest["content"])
    stale = [name for name in marks if always or os.environ.get(VERIFY) or marks[name] != known.get(name)]
    for name in stale:
        try:
            same = hash_file(folder / name) == manifest["files"][name]
        except OSError as error:
            raise damaged(folder, f"{name} cannot be read ({error.strerror})") from None
        if not same:
            raise damaged(folder, f"{name} was changed after it was sealed")
    if marks != known:
        write_marks(memo, manifest["content"], marks)


def marks_of(folder: Path, names: Mapping[str, Any]) -> dict[str, Mark]:
    """The present marks of files."""
    stats = {name: (folder / name).stat() for name in names}
    return {name: [s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in stats.items()}


def write_marks(memo: Path, content: str, marks: Mapping[str, Mark]) -> None:
    """Keeps the marks for the next check; does nothing where the store cannot be written."""
    with suppress(OSError):
        memo.parent.mkdir(exist_ok=True)
        text = json.dumps(with_seal({"content": content, "marks": dict(marks)}))
        memo.write_text(text, encoding="ascii")  # in place, unsynced: half a memo has no seal and is none


def _known_marks(memo: Path, content: str) -> Mapping[str, Mark]:
    try:
        found = opened(json.loads(memo.read_text(encoding="utf-8")), "", "")
    except (OSError, ValueError, RecursionError, DataError):
        return {}
    marks = found.get("marks")
    return marks if found.get("content") == content and isinstance(marks, dict) else {}


def damaged(folder: Path, what: str) -> StoreError:
    """The error of an artifact that cannot be used."""
    return StoreError(f'artifact "{folder.name}": {what}; {_remedy(folder)}')


def _remedy(folder: Path) -> str:
    return f'remove the folder "{folder}" and run the same command again'
