"""The accepted baseline: a text file small enough for git, reproducible for the same run and reason.

Line 1 is the manifest: the reason, the origin, and the facts of every suite that must match. Every other line is one
item: [number of its suite, item id, score or null, length or null], so that a diff shows changed items.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlp_bench.api.documents import json_value, read_text
from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import write_atomic
from rlp_bench.api.seals import SEAL, opened, with_seal
from rlp_bench.regression.rule import MISSING_LIMIT
from rlp_bench.regression.snapshot import Snapshot, Suite

BASELINE_VERSION = 2
"""Since 2, the manifest has a seal; rows have had a hash since 1."""


def write_baseline(path: Path, snapshot: Snapshot, reason: str) -> str:
    """Writes the baseline atomically; gzipped, without a timestamp, if the name ends in .gz.

    Returns:
        The sha256 of the uncompressed content.

    Raises:
        BenchError: the reason is empty, no suite has scores, or more than 1 % of a suite's items have no score.
    """
    if not reason.strip():
        raise BenchError("baseline accept --reason: is empty; give the reason why these scores are accepted")
    kept = {alias: suite for alias, suite in snapshot.suites.items() if suite.scored}
    if not kept:
        raise DataError(f'"{snapshot.name}": no suite has scores; evaluate it first')
    faults = [
        f'suite "{alias}": {suite.unscored} of {len(suite.scores)} items have no score; a baseline must have '
        "scores for at least 99 % of its items: evaluate again"
        for alias, suite in kept.items()
        if suite.unscored > MISSING_LIMIT * len(suite.scores) and not suite.is_subset
    ]
    if faults:
        raise BenchError("\n".join(faults))
    body = "".join(_rows(list(kept.values())))
    manifest = {
        "baseline_version": BASELINE_VERSION,
        "reason": reason.strip(),
        "origin": dict(snapshot.origin),
        "score": "per item in [0, 1]; percent and points where it is printed",
        "suites": [dict(suite.facts) for suite in kept.values()],
        "rows_sha256": hashlib.sha256(body.encode()).hexdigest(),
    }
    head = json.dumps(with_seal(manifest), sort_keys=True, allow_nan=False)
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
        DataError: the file is not a baseline, is newer than this rlp-bench, or its rows were changed.
    """
    damaged = DataError(
        f'"{path}": is not a baseline; expected a file written by `rlp-bench baseline accept`'
    )
    try:
        text = read_text(path).replace("\r\n", "\n")  # git may have checked it out so
        head, _, body = text.partition("\n")
        manifest = json_value(head)
        version = int(manifest["baseline_version"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise damaged from None
    if version > BASELINE_VERSION:
        raise DataError(
            f'"{path}": is a baseline of version {version}, this rlp-bench knows up to {BASELINE_VERSION}: '
            "upgrade rlp-bench"
        )
    if version > 1 and SEAL not in manifest:
        raise damaged
    opened(manifest, f'"{path}": its first line', "check it out or accept it again")
    if hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest() != manifest.get("rows_sha256"):
        raise DataError(
            f'"{path}": its rows were changed after they were accepted; check it out or accept it again'
        )
    try:
        snapshot = Snapshot(dict(manifest["origin"]), _suites(manifest["suites"], body))
        reason = str(manifest["reason"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise damaged from None
    about = {"path": str(path), "sha256": hashlib.sha256(text.encode()).hexdigest(), "reason": reason}
    return snapshot, about


def _suites(facts: list[dict[str, Any]], body: str) -> dict[str, Suite]:
    scores: list[dict[str, float | None]] = [{} for _ in facts]
    lengths: list[dict[str, int]] = [{} for _ in facts]
    for line in body.splitlines():
        number, item, score, length = json_value(line)
        scores[number][item] = score
        if length is not None:
            lengths[number][item] = length
    return {known["alias"]: Suite(known, scores[i], lengths[i]) for i, known in enumerate(facts)}
