"""The accepted baseline: a text file small enough for git, the same bytes for the same run and reason.

Line 1 is the manifest: why it was accepted, where it came from, and of every suite all that must be the same. Every
other line is one item: [number of its suite, item id, score or null, length or null]. A diff shows what moved.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import read_bytes, write_atomic
from rlp_bench.regression.rule import MISSING_LIMIT
from rlp_bench.regression.snapshot import Snapshot, Suite

BASELINE_VERSION = 1


def write_baseline(path: Path, snapshot: Snapshot, reason: str) -> str:
    """Writes the file whole or not at all; gzipped, without a time, where its name ends in .gz.

    Returns the sha256 of what is in it, packed or not.

    Raises:
        BenchError: no reason, nothing scored, or more than 1 % of a suite's items without a score.
    """
    if not reason.strip():
        raise BenchError("baseline accept --reason: is empty; say why these numbers are right from now on")
    kept = {alias: suite for alias, suite in snapshot.suites.items() if suite.scored}
    if not kept:
        raise DataError(f'"{snapshot.name}": no suite has scores; evaluate it first')
    faults = [
        f'suite "{alias}": {suite.unscored} of {len(suite.scores)} items have no score; a baseline with holes '
        "would hide what a candidate loses there: evaluate again"
        for alias, suite in kept.items()
        if suite.unscored > MISSING_LIMIT * len(suite.scores) and not suite.is_subset
    ]
    if faults:
        raise DataError("\n".join(faults))
    body = "".join(_rows(list(kept.values())))
    manifest = {
        "baseline_version": BASELINE_VERSION,
        "reason": reason.strip(),
        "origin": dict(snapshot.origin),
        "score": "per item in [0, 1]; percent and points where it is printed",
        "suites": [dict(suite.facts) for suite in kept.values()],
        "rows_sha256": hashlib.sha256(body.encode()).hexdigest(),
    }
    head = json.dumps(manifest, sort_keys=True, allow_nan=False)
    data = f"{head}\n{body}".encode("ascii")
    _replace(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return hashlib.sha256(data).hexdigest()


def _rows(suites: list[Suite]) -> Iterator[str]:
    for number, suite in enumerate(suites):
        for item in sorted(suite.scores):
            row = [number, item, suite.scores[item], suite.lengths.get(item)]
            yield json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n"


def _replace(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise BenchError(f'"{path}": cannot be written ({error.strerror}); give another --out') from None


def read_baseline(path: Path) -> tuple[Snapshot, dict[str, Any]]:
    """The snapshot, and {"reason", "sha256", "path"} of the file.

    Raises:
        DataError: it is no baseline, newer than this rlp-bench, or its rows are not those that were accepted.
    """
    data = read_bytes(path)
    damaged = DataError(f'"{path}": is no baseline; expected a file that `rlp-bench baseline accept` wrote')
    try:
        head, _, body = data.decode().partition("\n")
        manifest = json.loads(head)
        version = int(manifest["baseline_version"])
    except (ValueError, KeyError, TypeError):
        raise damaged from None
    if version > BASELINE_VERSION:
        raise DataError(
            f'"{path}": is a baseline of version {version}, this rlp-bench knows up to {BASELINE_VERSION}: '
            "upgrade rlp-bench"
        )
    if hashlib.sha256(body.encode()).hexdigest() != manifest.get("rows_sha256"):
        raise DataError(
            f'"{path}": its rows are not those that were accepted; check it out or accept it again'
        )
    try:
        snapshot = Snapshot(dict(manifest["origin"]), _suites(manifest["suites"], body))
        reason = str(manifest["reason"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise damaged from None
    about = {"path": str(path), "sha256": hashlib.sha256(data).hexdigest(), "reason": reason}
    return snapshot, about


def _suites(facts: list[dict[str, Any]], body: str) -> dict[str, Suite]:
    scores: list[dict[str, float | None]] = [{} for _ in facts]
    lengths: list[dict[str, int]] = [{} for _ in facts]
    for line in body.splitlines():
        number, item, score, length = json.loads(line)
        scores[number][item] = score
        if length is not None:
            lengths[number][item] = length
    return {known["alias"]: Suite(known, scores[i], lengths[i]) for i, known in enumerate(facts)}
