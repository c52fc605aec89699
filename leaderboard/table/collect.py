"""Collects the reports of one recipe into one row per method, averaged over seeds, never over recipes."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rlp_bench.api import (
    DataError,
    LengthControlled,
    Report,
    SuiteReport,
    fingerprint,
    headline,
    is_subset,
    length_control_kind,
    suite_name,
    suite_of,
)
from rlp_bench.statistics import (
    ALPHA,
    Difference,
    Estimate,
    estimate_mean,
    hierarchical_mean,
    moderated_means,
    paired_differences,
    step_down,
    student_interval,
)

from ..published import COLUMNS, PUBLISHED, SOURCE
from ..ranks import Rank, simultaneous_ranks

BASELINE = "ppo"


@dataclass(frozen=True)
class Cell:
    """One method on one suite; values are fractions."""

    estimate: Estimate
    n_items: int
    n_scored: int
    """Minimum over seeds."""
    against: Difference | None = None
    """Difference from the baseline on the same items and seeds."""
    p_holm: float | None = None
    """p of `against`, corrected over all comparisons in the table."""
    level: float = ALPHA
    """Level that p must be below for a significant difference, given the other comparisons."""
    longest: float | None = None
    """Win rate by the judge "longest", the length baseline."""
    others: Mapping[str, float] = field(default_factory=dict)
    """Second judge -> win rate."""
    length_controlled: Estimate | None = None


@dataclass(frozen=True)
class Row:
    """One method."""

    method: str
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell] = field(default_factory=dict)
    kl: float | None = None
    length_tokens: float | None = None
    trained_on_judge: bool = False
    stand_in: bool = False
    """Whether a stage is a stand-in for the algorithm that it is named after."""
    control: bool = False
    rank: Rank | None = None
    """Rank on the first suite."""


@dataclass(frozen=True)
class Copied:
    """A published row, with other data, another judge and one run; shown beside the others, part of no test."""

    method: str
    values: Mapping[str, float]
    """Suite -> percent."""


@dataclass(frozen=True)
class Board:
    """Everything a table shows."""

    recipe: str
    judges: Mapping[str, str]
    """Suite -> metric, judge with version, order."""
    suites: tuple[str, ...]
    notes: Mapping[str, str]
    """Suite -> why it is not independent evidence."""
    rows: tuple[Row, ...]
    """Controls, then the others; each group from best to worst."""
    copied: tuple[Copied, ...] = ()
    source: str = ""
    """Source of the copied rows."""
    length_control: Mapping[str, tuple[str, float | None]] = field(default_factory=dict)
    """Suite -> kind of its length-controlled rates, the same for all rows; see `length_control_of`."""

    @cached_property
    def others(self) -> list[str]:
        """The second judges of the first suite."""
        first = [row.cells[self.suites[0]] for row in self.rows if self.suites[0] in row.cells]
        return list(dict.fromkeys(name for cell in first for name in cell.others))


def bring_together(reports: Sequence[Report], published: bool = False) -> Board:
    """Checks that the reports are comparable and averages them over seeds.

    Args:
        published: whether to add the paper's rows.

    Raises:
        DataError: several recipes, or a suite whose items, references or judge differ.
    """
    recipes = sorted({str(report["recipe"]) for report in reports})
    if len(recipes) != 1:
        raise DataError(
            f"leaderboard: reports of {len(recipes)} recipes ({', '.join(recipes)}); expected one recipe id"
        )
    foreign = [r["method"] for r in reports if r.get("provenance", {}).get("kind", "rerun") != "rerun"]
    if foreign:
        raise DataError(f"leaderboard: {foreign[0]} is a copied result; a table contains only reruns")
    by_method: dict[str, dict[int, Report]] = {}
    for report in reports:
        by_method.setdefault(report["method"], {})[report["seed"]] = (
            report  # the newest report of a seed comes last
        )
    suites = tuple(dict.fromkeys(suite_name(suite) for report in reports for suite in report["suites"]))
    judges = {name: _one_setting(name, reports) for name in suites}
    notes = {
        suite_name(s): s["evidence"] for report in reports for s in report["suites"] if s.get("evidence")
    }
    scores = {m: {s: _scores(of_seed, s) for s in suites} for m, of_seed in by_method.items()}
    against = {name: _against(name, reports, {m: of[name] for m, of in scores.items()}) for name in suites}
    controlled = {name: _length_controlled(by_method, name) for name in suites}
    rows = [_row(m, by_method[m], suites, scores[m], against, controlled) for m in by_method]
    rows = _ranked(_corrected(rows), scores, suites[0])
    copied = _copied([row.method for row in rows], suites) if published else ()
    controls = {
        name: length_control_of([s for report in reports if (s := suite_of(report, name)) is not None])
        for name in suites
    }
    return Board(recipes[0], judges, suites, notes, tuple(rows), copied, SOURCE if copied else "", controls)


def _ranked(rows: Sequence[Row], scores: Mapping[str, Any], suite: str) -> list[Row]:
    """The rows with their ranks on a suite, in display order."""
    ranks = simultaneous_ranks({row.method: scores[row.method][suite] for row in rows if suite in row.cells})
    found = [replace(row, rank=ranks.get(row.method)) for row in rows]

    def place(row: Row) -> tuple[bool, float]:
        return not row.control, -row.cells[suite].estimate.mean if suite in row.cells else 1.0

    return sorted(found, key=place)


def _copied(methods: Sequence[str], suites: Sequence[str]) -> tuple[Copied, ...]:
    """The paper's rows for these methods on suites with the same aliases."""
    found = []
    for method in methods:
        values = {}
        for suite, (number, column) in COLUMNS.items():
            row = PUBLISHED[number].get(method)
            if suite in suites and row is not None:
                values[suite] = row[column]
        if values:
            found.append(Copied(method, values))
    return tuple(found)


def _one_setting(name: str, reports: Sequence[Report]) -> str:
    """How a suite was measured; must be the same in all reports.

    Raises:
        DataError: it differs.
    """
    found: dict[str, str] = {}
    for report in reports:
        suite = suite_of(report, name)
        if suite is not None and suite.get("metric"):
            key = [
                suite["suite"],
                suite["suite_version"],
                suite["metric"],
                suite.get("order"),
                suite.get("judge"),
            ]
            key += [suite["data"]["items"], suite["data"].get("references")]
            found.setdefault(json.dumps(key, sort_keys=True), _described(suite))
    if len(found) > 1:
        ways = "; ".join(sorted(set(found.values())))
        raise DataError(
            f'leaderboard: suite "{name}" was not measured in one way ({ways}; items, references and '
            "the judge's manifest count too); evaluate the runs again with one judge, order and data"
        )
    return next(iter(found.values()), "")


def _described(suite: SuiteReport) -> str:
    judge = suite.get("judge")
    who = (
        f", judge {judge['name']} {_mode(judge)}version {judge['version']} ({_hashes(judge)}), order {suite['order']}"
        if judge
        else ""
    )
    return f"{suite['metric']} on {suite['suite']} {suite['suite_version']}{who}"


def _hashes(judge: Mapping[str, Any]) -> str:
    """Hashes of the prompt, if the judge has one, and of its manifest."""
    prompt = judge.get("prompt_sha256")
    return (f"prompt {str(prompt)[:8]}, " if prompt else "") + f"manifest {fingerprint(judge)[:16]}"


def _mode(judge: Mapping[str, Any]) -> str:
    return f"({judge['mode']}) " if judge.get("mode") else ""


def _scores(of_seed: Mapping[int, Report], name: str) -> dict[int, dict[str, float]]:
    """Seed -> item id -> score, for the seeds whose score files exist."""
    found = {}
    for seed, report in of_seed.items():
        suite = suite_of(report, name)
        if suite is None or not suite.get("scores") or is_subset(suite):
            continue
        path = Path(report.get("store", ".")) / suite["scores"]
        if path.exists():
            rows = json.loads(
                "[" + ",".join(filter(None, path.read_text(encoding="utf-8").split("\n"))) + "]"
            )
            found[seed] = {row["item_id"]: row["score"] for row in rows if row["score"] is not None}
    return found


def _row(
    method: str,
    of_seed: Mapping[int, Report],
    suites: Sequence[str],
    scores: Mapping[str, Mapping[int, dict[str, float]]],
    against: Mapping[str, Mapping[str, Difference]],
    controlled: Mapping[str, Mapping[str, Estimate]],
) -> Row:
    cells = {}
    for name in suites:
        found = {
            seed: suite
            for seed, report in of_seed.items()
            if (suite := suite_of(report, name)) and headline(suite) is not None
        }
        if not found:
            continue
        cells[name] = Cell(
            _estimate(found, scores[name]),
            max(suite["n_items"] for suite in found.values()),
            min(suite["n_scored"] for suite in found.values()),
            against[name].get(method),
            longest=_mean(
                [s["controls"]["longest"]["win_rate"] / 100 for s in found.values() if s.get("controls")]
            ),
            others=_others(found.values()),
            length_controlled=controlled[name].get(method),
        )
    kl = _mean([r["kl"]["mean"] for r in of_seed.values() if r.get("kl")])
    length = _mean([r.get("length_tokens") for r in of_seed.values()])
    marked = any(r.get("provenance", {}).get("trained_on_judge") for r in of_seed.values())
    stand_in = any(r.get("stand_ins") for r in of_seed.values())
    control = any(r.get("control") for r in of_seed.values())
    return Row(method, tuple(sorted(of_seed)), cells, kl, length, marked, stand_in, control)


def _asks_reward(suites: Iterable[SuiteReport]) -> bool:
    """Whether a suite measures the reward model instead of the policy, so that methods sharing one tie."""
    return any(suite["kind"] == "pairs" for suite in suites)


def _others(suites: Iterable[SuiteReport]) -> dict[str, float]:
    """Second judge -> mean win rate over seeds."""
    found: dict[str, list[float]] = {}
    for suite in suites:
        for name, other in suite.get("second_judges", {}).items():
            found.setdefault(name, []).append(other["win_rate"] / 100)
    return {name: sum(rates) / len(rates) for name, rates in found.items()}


def _against(
    name: str, reports: Sequence[Report], scores: Mapping[str, Mapping[int, dict[str, float]]]
) -> dict[str, Difference]:
    """Method -> difference from the baseline on a suite; empty if the suite measures the reward model."""
    base = scores.get(BASELINE, {})
    if _asks_reward(suite for report in reports if (suite := suite_of(report, name))):
        return {}
    methods = [m for m, mine in scores.items() if m != BASELINE and set(base) & set(mine)]
    pairs = [(m, BASELINE) for m in methods]
    return dict(zip(methods, paired_differences(scores, pairs), strict=True))


def _length_controlled(by_method: Mapping[str, Mapping[int, Report]], name: str) -> dict[str, Estimate]:
    """Method -> mean over seeds.

    Its variance is that between seeds, shrunk over the methods, plus that of a single seed, which more seeds do not
    reduce because all seeds share the items.
    """
    known: dict[str, dict[int, LengthControlled]] = {}
    for method, of_seed in by_method.items():
        for seed, report in of_seed.items():
            suite = suite_of(report, name)
            one = suite.get("length_controlled") if suite else None
            if one and one["win_rate"] is not None:
                known.setdefault(method, {})[seed] = one
    rates = {m: {s: (one["win_rate"] or 0.0) / 100 for s, one in of.items()} for m, of in known.items()}
    within = {
        m: float(np.mean([(o["standard_error"] / 100) ** 2 for o in of.values()])) for m, of in known.items()
    }
    found = {}
    for method, e in moderated_means(rates, within).items():
        first = next(iter(known[method].values()))
        if len(known[method]) == 1:
            low, high = first["ci95"]
            e = Estimate(e.mean, math.sqrt(within[method]), low / 100, high / 100, 1)
        found[method] = replace(e, n=first["n"])
    return found


def length_control_of(suites: Iterable[SuiteReport]) -> tuple[str, float | None]:
    """(kind of the length-controlled rates of these suite reports, their error for unseen models if approximate).

    Raises:
        DataError: they have different kinds.
    """
    found = {
        (length_control_kind(lc), lc.get("error_unseen"))
        for suite in suites
        if (lc := suite.get("length_controlled")) and lc["win_rate"] is not None
    }
    kinds = sorted({kind for kind, _ in found})
    if len(kinds) > 1:
        raise DataError(
            f"leaderboard: length-controlled rates of several kinds ({', '.join(kinds)}) cannot be in one column; "
            "evaluate all runs with the same instruction_difficulty.csv, or none"
        )
    return max(found, key=lambda one: one[1] or 0.0, default=("", None))


def _rate(suite: SuiteReport) -> float:
    return (headline(suite) or 0.0) / 100


def _estimate(found: Mapping[int, SuiteReport], scores: Mapping[int, dict[str, float]]) -> Estimate:
    """The mean over seeds with a standard error over seeds and items; if score files are missing, from the reports."""
    if len(scores) == len(found):
        return hierarchical_mean([scores[seed] for seed in sorted(scores)])
    rates = [_rate(suite) for suite in found.values()]
    if len(rates) == 1:
        [suite] = found.values()
        error = suite["standard_error"]
        low, high = suite["ci95"]
        return Estimate(
            rates[0], math.nan if error is None else error / 100, low / 100, high / 100, suite["n_scored"]
        )
    between = estimate_mean(rates)
    within = (
        math.sqrt(sum((suite["standard_error"] or 0) ** 2 for suite in found.values()) / len(found)) / 100
    )
    se, n = math.hypot(between.se, within), min(suite["n_scored"] for suite in found.values())
    low, high = student_interval(between.mean, se, between.degrees, 0.95, (0.0, 1.0))
    return Estimate(between.mean, se, low, high, n, between.degrees)


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """The rows with p corrected by Holm over all comparisons with the baseline in the table."""
    pairs = [(row, name) for row in rows for name, cell in row.cells.items() if cell.against is not None]
    tests = step_down([row.cells[name].against.p for row, name in pairs])  # type: ignore[union-attr]
    known = {(row.method, name): test for (row, name), test in zip(pairs, tests, strict=True)}

    def with_test(row: Row, name: str, cell: Cell) -> Cell:
        test = known.get((row.method, name))
        return cell if test is None else replace(cell, p_holm=test.p, level=test.level)

    return [replace(row, cells={n: with_test(row, n, c) for n, c in row.cells.items()}) for row in rows]


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are not None."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
