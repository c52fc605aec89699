"""Baseline files: pytest-benchmark's JSON with `rlp_bench` in it; and what no document may show."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.perf.comparison import rows_of

VERSION = 1
LEAST_ROUNDS = 5


def read_document(path: Path) -> dict[str, Any]:
    """A document that `bench --save` wrote.

    Raises:
        DataError: it is not there, not JSON, not ours, or newer.
    """
    where = f'baseline "{path}"'
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{where}: does not exist; `rlp-bench bench --save {path}` makes it") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise DataError(f"{where}: not JSON; expected what `rlp-bench bench --save` writes") from None
    if not isinstance(found, dict) or not isinstance(found.get("rlp_bench"), dict):
        raise DataError(f"{where}: is not of rlp-bench; expected what `rlp-bench bench --save` writes")
    if found["rlp_bench"].get("bench_version", 0) > VERSION:
        raise DataError(f"{where}: is of a newer rlp-bench; upgrade, or save a baseline again")
    try:
        sound(found)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{where}: is damaged ({error!r}); save it again by `rlp-bench bench --save`"
        ) from None
    return found


def sound(document: Mapping[str, Any]) -> None:
    """Has everything that a comparison reads; raises KeyError, TypeError or ValueError otherwise."""
    about = document["rlp_bench"]
    if not isinstance(about["machine"]["id"], str) or not isinstance(about["cold"], bool):
        raise TypeError("machine or cold")
    for row in rows_of(document):
        if not all(0 < took < math.inf for took in row["seconds"]) or not row["per_second"] > 0:
            raise ValueError(row["workload"])


def check_fresh(document: Mapping[str, Any]) -> None:
    """No answer came from a cache, and every round did the same work.

    Raises:
        BenchError: otherwise; such timings say nothing.
    """
    for one in document["benchmarks"]:
        info = one["extra_info"]
        for counters in info["counters_of_rounds"]:
            hits = counters.get("cache_hits", 0)
            if hits:
                asked = hits + counters.get("requests", 0)
                raise BenchError(
                    f"bench: {info['workload']}: {hits:g} of {asked:g} answers came from the cache (hit rate "
                    f"{hits / asked:.2f}), so it would time the cache; leave --cache out, or give an empty folder"
                )
            wrong = [name for name in counters if counters[name] != info["counters"].get(name)]
            if wrong:
                raise BenchError(
                    f"bench: {info['workload']}: {wrong[0]} is {counters[wrong[0]]:g} in one round and "
                    f"{info['counters'][wrong[0]]:g} in another; the work is not fixed"
                )
