"""Data of the one-file HTML report: everything in `results`, and more.

Added to `results`: measurement settings and coverage of every suite, points by KL with intervals, confidences of
synthetic preferences, costs of stages, training curves, and side-by-side answers. Whatever the store does not have is
reported as a sentence in `missing`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlp_bench.analysis.confidence import confidences
from rlp_bench.analysis.item_scores import by_method, reports_of
from rlp_bench.analysis.matrix_results import open_matrix, points_of_matrix, results
from rlp_bench.analysis.method_info import about
from rlp_bench.analysis.samples import outputs_view
from rlp_bench.analysis.throughput import throughput
from rlp_bench.analysis.training_curves import training_curves
from rlp_bench.api.errors import DataError
from rlp_bench.api.report import LengthControlled, Report, SuiteReport, read_report, suite_of
from rlp_bench.api.types import Item
from rlp_bench.display import Display
from rlp_bench.evaluation.length_report import described
from rlp_bench.evaluation.resolve import load_suite
from rlp_bench.matrix.trajectory import Point
from rlp_bench.run.records import REPORT, RunRecord, open_run
from rlp_bench.statistics import estimate_mean
from rlp_bench.store.store import Store, fingerprint

NO_RATE: LengthControlled = {"win_rate": None, "n": 0}
LEFT_OUT = ("runs", "wall_seconds", "job_seconds", "written")
"""Keys of matrix.json that are left out: dates and durations are not part of a result."""
POINT_KEYS = ("proxy", "gold", "win_rate", "accuracy", "length")
INSTRUCTIONS = 60
"""Number of instructions shown with every method's answer."""


def html_data(
    store: Store, name: str | None, display: Display, instructions: int = INSTRUCTIONS
) -> dict[str, Any]:
    """Everything that the board "html" renders, as one plain dict.

    Args:
        name: the matrix (see `open_matrix`); None: the newest.
        instructions: number of instructions shown with the answers of every method, at the lowest seed.

    Raises:
        UnknownName: there is no such matrix.
        DataError: its runs were evaluated in different ways.
    """
    matrix = open_matrix(store, name)
    found = results(store, matrix, display)
    reports = reports_of(store, matrix["runs"])
    records = [open_run(store.root / run["folder"], store) for run in matrix["runs"]]
    measured = {alias: one_setting(alias, reports) for alias in found["suites"]}
    samples, missing = _samples(store, records, found["main"], matrix["seeds"], instructions)
    return {
        **found,
        "matrix": {key: value for key, value in matrix.items() if key not in LEFT_OUT},
        "judge_hash": fingerprint(found["judge"])[:16],
        "methods": {method: about(method) for method in reports},
        "measured": measured,
        "coverage": {alias: _coverage(alias, reports) for alias in measured},
        "longest": _by_seed(found["main"], reports, _longest),
        "length_controlled": _by_seed(
            found["main"], reports, lambda suite: suite.get("length_controlled", NO_RATE)["win_rate"]
        ),
        "length_controlled_kind": _length_control(found["main"], reports),
        "length_controlled_ends": _by_seed(
            found["main"], reports, lambda suite: suite.get("length_controlled", NO_RATE).get("ci95")
        ),
        "trained_on_judge": sorted(
            m
            for m, of in reports.items()
            if any(r["provenance"].get("trained_on_judge") for r in of.values())
        ),
        "scores": by_method(store, reports, found["main"]),
        "points": {
            method: points_with_errors(points) for method, points in points_of_matrix(store, matrix).items()
        },
        "confidence": confidences(records),
        "throughput": throughput(store, [store.root / run["folder"] for run in matrix["runs"]]),
        "curves": training_curves(records),
        "samples": samples,
        "missing": missing,
    }


def one_setting(alias: str, reports: Mapping[str, Mapping[int, Report]]) -> dict[str, Any]:
    """The measurement settings of a suite, which must be the same for all runs.

    Raises:
        DataError: runs were measured differently and cannot be in one table.
    """
    found: dict[str, dict[str, Any]] = {}
    for seeds in reports.values():
        for report in seeds.values():
            suite = suite_of(report, alias)
            if suite is not None and suite.get("metric"):
                setting: dict[str, Any] = {
                    "suite": suite["suite"],
                    "suite_version": suite["suite_version"],
                    "metric": suite["metric"],
                    "order": suite.get("order"),
                    "judge": suite.get("judge"),
                    "data": {k: v for k, v in suite["data"].items() if k in ("items", "references")},
                }
                found.setdefault(fingerprint(setting), {**setting, "evidence": suite.get("evidence", "")})
    if len(found) > 1:
        raise DataError(
            f'report html: suite "{alias}" was measured in {len(found)} ways (judge, order, items or references '
            "differ); evaluate the runs again with one recipe: `rlp-bench matrix`"
        )
    return next(iter(found.values()), {})


def _coverage(alias: str, reports: Mapping[str, Mapping[int, Report]]) -> dict[str, dict[str, Any]]:
    """Method -> items, scored items (minimum over seeds), and missing verdicts by reason (over all seeds)."""
    found: dict[str, dict[str, Any]] = {}
    for method, seeds in reports.items():
        suites = [
            suite for r in seeds.values() if (suite := suite_of(r, alias)) is not None and "n_scored" in suite
        ]
        if not suites:
            continue
        lost: dict[str, int] = {}
        for suite in suites:
            for reason, count in (suite.get("coverage") or {}).items():
                if reason != "judged" and count:
                    lost[reason] = lost.get(reason, 0) + count
        found[method] = {
            "seeds": len(suites),
            "n_items": max(suite["n_items"] for suite in suites),
            "n_scored": min(suite["n_scored"] for suite in suites),
            "lost": dict(sorted(lost.items())),
        }
    return found


def _length_control(alias: str, reports: Mapping[str, Mapping[int, Report]]) -> str:
    """The kind of the suite's length-controlled win rates; "" if there are none.

    Raises:
        DataError: they are of several kinds and cannot be in one column.
    """
    suites = [suite_of(report, alias) for seeds in reports.values() for report in seeds.values()]
    rates = [suite.get("length_controlled", NO_RATE) for suite in suites if suite]
    kinds = sorted({described(rate) for rate in rates if rate["win_rate"] is not None})
    if len(kinds) > 1:
        raise DataError(
            f'report html: suite "{alias}" has length-controlled rates of several kinds ({"; ".join(kinds)}); '
            "evaluate all runs with the same instruction_difficulty.csv, or none"
        )
    return kinds[0] if kinds else ""


def _by_seed(
    alias: str, reports: Mapping[str, Mapping[int, Report]], value_of: Callable[[SuiteReport], Any]
) -> dict[str, list[Any]]:
    """Method -> a value of its suite reports, one per seed; methods without values are left out."""
    found: dict[str, list[Any]] = {}
    for method, seeds in reports.items():
        for seed in sorted(seeds):
            suite = suite_of(seeds[seed], alias)
            value = None if suite is None else value_of(suite)
            if value is not None:
                found.setdefault(method, []).append(value)
    return found


def _longest(suite: SuiteReport) -> float | None:
    known = suite.get("controls", {}).get("longest")
    return None if known is None else known["win_rate"]


def points_with_errors(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Means over seeds at every rollout count, each with a 95 % interval over seeds (None with one seed)."""
    found = []
    for rollouts in sorted({p.rollouts for p in points}):
        here = [p for p in points if p.rollouts == rollouts]
        row: dict[str, Any] = {
            "rollouts": rollouts,
            "seeds": len(here),
            "kl": sum(p.kl for p in here) / len(here),
        }
        for key in POINT_KEYS:
            row[key] = _over_seeds([value for p in here if (value := getattr(p, key)) is not None])
        found.append(row)
    return found


def _over_seeds(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    if len(values) == 1:
        return {"mean": values[0], "ci95": None, "n": 1}
    e = estimate_mean(values, bounds=(float("-inf"), float("inf")))
    return {"mean": e.mean, "ci95": [e.low, e.high], "n": e.n}


def _samples(
    store: Store, records: Sequence[RunRecord], alias: str, seeds: Sequence[int], n: int
) -> tuple[dict[str, Any], list[str]]:
    """(answers of every method at the lowest seed, reasons why answers of methods are missing)."""
    seed = min(seeds)
    missing: list[str] = []
    chosen = []
    for record in sorted((r for r in records if r.seed == seed), key=lambda r: (len(r.lineage), r.method)):
        suite = suite_of(read_report(record.path / REPORT), alias)
        if suite is not None and "outputs" in suite.get("artifacts", {}):
            chosen.append(record)
        else:
            missing.append(f'answers of {record.method} to "{alias}" are not in this store')
    absent = sorted({r.method for r in records} - {r.method for r in records if r.seed == seed})
    missing += [f"{method} has no run at seed {seed}, so no answers are shown" for method in absent]
    shown: dict[str, Any] = {"suite": alias, "seed": seed, "of": 0, "rows": []}
    if not chosen or n < 1:
        return shown, missing
    items = {
        item.id: item for item in load_suite(alias, chosen[0].recipe.suites).items() if isinstance(item, Item)
    }
    rows = outputs_view(store, chosen, alias, None, None, n)
    for row in rows:
        item = items[row["id"]]
        row.update(input=item.input, subset=item.subset, category=item.category)
    return {**shown, "of": len(items), "rows": rows}, missing
