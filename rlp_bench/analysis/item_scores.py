"""Per-item scores of the runs of a matrix, by method and seed: what every paired comparison is made of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api.files import read_jsonl
from rlp_bench.run.records import REPORT
from rlp_bench.statistics import Scores
from rlp_bench.store.store import Store

Report = Mapping[str, Any]
ByMethod = dict[str, dict[int, Scores]]
"""Method -> seed -> item id -> score."""


def reports_of(store: Store, runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, Report]]:
    """Method -> seed -> report.json of the runs that matrix.json lists."""
    found: dict[str, dict[int, Report]] = {}
    for run in runs:
        path = store.root / run["folder"] / REPORT
        found.setdefault(run["method"], {})[run["seed"]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def suite_of(report: Report, alias: str) -> Report | None:
    """A suite of a report."""
    return next((one for one in report["suites"] if one["alias"] == alias), None)


def scores_of(
    store: Store, suite: Report, judge: str | None = None, subset: str | None = None
) -> dict[str, float]:
    """Item id -> score of a suite's report.

    Args:
        judge: a second judge's instead of the recipe's own.
        subset: only the items of one. A suite computed from a larger one's verdicts holds its own subsets only.
    """
    path = suite["second_judges"][judge]["scores"] if judge else suite["scores"]
    inside = {subset} if subset else None
    if inside is None and str(suite.get("evidence", "")).startswith("subset"):
        inside = set(suite["subsets"])
    return {
        row["item_id"]: row["score"]
        for row in read_jsonl(Path(store.root) / path)
        if row["score"] is not None and (inside is None or row["subset"] in inside)
    }


def by_method(
    store: Store,
    reports: Mapping[str, Mapping[int, Report]],
    alias: str,
    judge: str | None = None,
    subset: str | None = None,
) -> ByMethod:
    """Scores of every method and seed that has the suite (and the judge)."""
    found: ByMethod = {}
    for method, seeds in reports.items():
        for seed, report in seeds.items():
            suite = suite_of(report, alias)
            if (
                suite is None
                or "scores" not in suite
                or (judge and judge not in suite.get("second_judges", {}))
            ):
                continue
            scores = scores_of(store, suite, judge, subset)
            if scores:
                found.setdefault(method, {})[seed] = scores
    return found
