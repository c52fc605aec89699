"""Baseline files: pytest-benchmark's JSON with an `rlp_bench` section, and their validation."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlp_bench.api.documents import decode, json_value
from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.perf.comparison import rows_of

VERSION = 1
LEAST_ROUNDS = 5


def read_document(path: Path) -> dict[str, Any]:
    """A document written by `bench --save`.

    Raises:
        DataError: it is missing, not JSON, not written by `bench --save`, or newer than this rlp-bench.
    """
    where = f'baseline "{path}"'
    try:
        found: dict[str, Any] = json_value(decode(path, path.read_bytes(), "JSON"))
    except FileNotFoundError:
        raise DataError(f"{where}: does not exist; create it with `rlp-bench bench --save {path}`") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise DataError(f"{where}: not JSON; expected a file written by `rlp-bench bench --save`") from None
    if not isinstance(found, dict) or not isinstance(found.get("rlp_bench"), dict):
        raise DataError(
            f"{where}: is not an rlp-bench file; expected a file written by `rlp-bench bench --save`"
        )
    version = found["rlp_bench"].get("bench_version", 0)
    if isinstance(version, int) and version > VERSION:
        raise DataError(f"{where}: was written by a newer rlp-bench; upgrade, or save a new baseline")
    try:
        sound(found)
    except (KeyError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise DataError(
            f"{where}: is damaged ({error!r}); save it again by `rlp-bench bench --save`"
        ) from None
    return found


def sound(document: Mapping[str, Any]) -> None:
    """Checks that a document has all that a comparison needs; raises KeyError, TypeError or ValueError if not."""
    about = document["rlp_bench"]
    if not isinstance(about["machine"]["id"], str) or not isinstance(about["cold"], bool):
        raise TypeError("machine or cold")
    for row in rows_of(document):
        if not all(0 < took < math.inf for took in row["seconds"]) or not row["per_second"] > 0:
            raise ValueError(row["workload"])


def check_fresh(document: Mapping[str, Any]) -> None:
    """Checks that no answer came from the cache and that every round did the same work.

    Raises:
        BenchError: one of these fails, so that the timings are meaningless.
    """
    for one in document["benchmarks"]:
        info = one["extra_info"]
        for counters in info["counters_of_rounds"]:
            hits = counters.get("cache_hits", 0)
            if hits:
                total = hits + counters.get("requests", 0)
                raise BenchError(
                    f"bench: {info['workload']}: {hits:g} of {total:g} answers came from the cache (hit rate "
                    f"{hits / total:.2f}), so the cache would be timed; leave --cache out, or give an empty folder"
                )
            wrong = [name for name in counters if counters[name] != info["counters"].get(name)]
            if wrong:
                raise BenchError(
                    f"bench: {info['workload']}: {wrong[0]} is {counters[wrong[0]]:g} in one round and "
                    f"{info['counters'][wrong[0]]:g} in another; the work is not fixed"
                )
