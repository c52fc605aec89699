"""The history of attempts against a baseline, append-only, so that repeated attempts stay visible."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import read_jsonl

SUFFIX = ".history.jsonl"


def default_history(baseline: Path) -> Path:
    """The history file beside the baseline."""
    return baseline.with_name(baseline.name + SUFFIX)


def earlier_attempts(path: Path, baseline_sha256: str) -> list[dict[str, Any]]:
    """The earlier attempts against this baseline, oldest first.

    Raises:
        DataError: the file is not a history.
    """
    if not path.exists():
        return []
    wrong = f'"{path}": is not a history of attempts (JSON lines); give another --history'
    try:
        rows = list(read_jsonl(path))
    except DataError:
        raise DataError(wrong) from None
    if not all(isinstance(row, dict) and {"baseline_sha256", "verdict"} <= set(row) for row in rows):
        raise DataError(wrong)
    return [row for row in rows if row["baseline_sha256"] == baseline_sha256]


def record_attempt(path: Path, attempt: Mapping[str, Any]) -> None:
    """Appends one line atomically; earlier lines are never changed."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"time": now, **attempt}, sort_keys=True, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as out:  # appends after the lines of other processes
            if out.tell() and os.pread(out.fileno(), 1, out.tell() - 1) != b"\n":
                line = "\n" + line
            out.write(line.encode("ascii"))
            os.fsync(out.fileno())
    except OSError as error:
        raise BenchError(f'"{path}": cannot be written ({error.strerror}); give another --history') from None


def attempt_summary(earlier: Sequence[Mapping[str, Any]]) -> str:
    """One sentence about the earlier attempts, shown with the verdict."""
    if not earlier:
        return "first attempt against this baseline"
    counts = Counter(str(row["verdict"]) for row in earlier)
    each = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    policies = len({str(row.get("policy")) for row in earlier})
    return (
        f"attempt {len(earlier) + 1} against this baseline; earlier: {each}, of {policies} "
        f"{'policy' if policies == 1 else 'policies'}. Each has a 5 % error rate; the best of several proves less"
    )
