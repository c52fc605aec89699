"""Per-item scores of the runs of a matrix, by method and seed: the data of all paired comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api.report import Report, item_scores, suite_of
from rlp_bench.run.records import check_evidence, read_record
from rlp_bench.statistics import Scores
from rlp_bench.store.store import Store

ByMethod = dict[str, dict[int, Scores]]
"""Method -> seed -> item id -> score."""


def reports_of(store: Store, runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, Report]]:
    """Method -> seed -> report.json of the runs that matrix.json lists."""
    found: dict[str, dict[int, Report]] = {}
    for run in runs:
        folder = store.root / run["folder"]
        report = check_evidence(folder, read_record(folder), store)
        found.setdefault(run["method"], {})[run["seed"]] = report
    return found


def items_of(table: ByMethod) -> list[str]:
    """All item ids of a table of scores, sorted."""
    return sorted({item for seeds in table.values() for scores in seeds.values() for item in scores})


def by_method(
    store: Store,
    reports: Mapping[str, Mapping[int, Report]],
    alias: str,
    judge: str | None = None,
    subset: str | None = None,
) -> ByMethod:
    """Scores of every method and seed that is evaluated on the suite (and by the judge)."""
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
            scores = item_scores(store.file, suite, judge, subset)
            if scores:
                found.setdefault(method, {})[seed] = scores
    return found
