"""Step 3: aggregates a suite's verdicts into win rates with errors and coverage, in percent, for kind "win_rate"."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from rlp_bench.api.errors import DataError
from rlp_bench.api.report import GroupResult, SuiteReport
from rlp_bench.api.types import Item
from rlp_bench.evaluation.outputs import Outputs
from rlp_bench.evaluation.verdicts import POLICY_FIRST, score_items
from rlp_bench.statistics import Estimate, estimate_mean, smallest_detectable_difference

INCOMPLETE = 0.01
"""Fraction of items without a score above which evaluation fails or, with --allow-missing, the report warns."""
TRUNCATED = 0.02
"""Fraction of answers truncated at the token limit above which the report warns."""


class WinRateReport(SuiteReport, total=False):
    """Keys that this kind adds to a suite's report."""

    bounds: list[float]
    """The win rate if all items without a score were lost, and if all were won."""
    discrete_win_rate: float
    """Win rate with every score rounded to won, tied or lost."""
    absent_items: int
    """Number of items of the published suite that are absent here, if any."""
    smallest_detectable_difference: float | None
    ties: int
    identical: int
    mean_length_chars: float | None
    reference_length_chars: float | None
    empty: int


class Percent(TypedDict):
    """A win rate with its error and interval."""

    win_rate: float
    standard_error: float | None
    ci95: list[float]


class Lengths(TypedDict):
    """Mean lengths of answers and references, with counts of empty and finished answers."""

    mean_length_chars: float | None
    mean_length_tokens: float | None
    reference_length_chars: float | None
    empty: int
    finish_rate: float | None


def win_rate_report(
    items: Sequence[Item],
    rows: Outputs,
    verdicts: Sequence[Mapping[str, Any]],
    judge: Mapping[str, Any],
    *,
    allow_missing: bool = False,
    excused: int = 0,
) -> WinRateReport:
    """Win rate, standard error and interval in percent over the scored items, overall and by subset.

    Raises:
        DataError: no item has a score, or more than 1 % have none without `allow_missing`.
    """
    scores = score_items(items, verdicts)
    scored = [row["score"] for row in scores if row["score"] is not None]
    counts = coverage(items, scores, rows)
    refuse_missing(scores, counts, judge["name"], allow_missing=allow_missing, excused=excused)
    overall = estimate_mean(scored)
    missing = len(scores) - len(scored)
    return {
        "kind": "win_rate",
        "metric": f"win_rate.{judge.get('scale', 'soft')}",
        "judge": dict(judge),
        **percent(overall),
        "n_items": len(items),
        "n_scored": len(scored),
        "coverage": counts,
        "bounds": [100 * sum(scored) / len(items), 100 * (sum(scored) + missing) / len(items)],
        "discrete_win_rate": 100 * sum(_discrete(score) for score in scored) / len(scored),
        "smallest_detectable_difference": _detectable(scored),
        "subsets": _groups(scores, "subset"),
        "categories": _groups(scores, "category"),
        "position_gap": position_gap(verdicts),
        "ties": sum(score == 0.5 for score in scored),
        "identical": sum(row["raw"] == "identical" for row in verdicts),
        **lengths(items, rows),
    }


def refuse_missing(
    scores: Sequence[Mapping[str, Any]],
    counts: Mapping[str, int],
    judge: str,
    *,
    what: str = "items",
    allow_missing: bool,
    excused: int = 0,
) -> None:
    """Checks that enough items have a verdict; a missing verdict is not a score.

    Args:
        scores: {score, reason} of each item (or labeled pair); score None without a verdict.
        counts: their number by outcome, see `outcomes`.
        excused: how many may lack a verdict because rows of a file were left out, which is reported by itself.

    Raises:
        DataError: none has a score, or more than 1 % have none without `allow_missing`.
    """
    lost = [row for row in scores if row["score"] is None]
    if len(lost) == len(scores):
        most = f" ({_commonest(lost)})" if lost else ""
        raise DataError(f'judge "{judge}": no verdict on any of {len(scores)} {what}{most}')
    if len(lost) - excused > INCOMPLETE * len(scores) and not allow_missing:
        named = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
        raise DataError(
            f'judge "{judge}": {len(lost)} of {len(scores)} {what} have no verdict ({named}; most frequent: '
            f"{_commonest(lost)}); run it again to retry failed calls, or give --allow-missing to score the others"
        )


def percent(estimate: Estimate) -> Percent:
    """win_rate, standard_error (None for a single item) and ci95, in percent."""
    return {
        "win_rate": 100 * estimate.mean,
        "standard_error": _finite(100 * estimate.se),
        "ci95": [100 * estimate.low, 100 * estimate.high],
    }


def coverage(items: Sequence[Item], scores: Sequence[Mapping[str, Any]], rows: Outputs) -> dict[str, int]:
    """`outcomes` and `missing_output`.

    An item without an answer in the outputs file counts as `missing_output` and, if a stored verdict has the judged
    answer, also as `judged`.
    """
    absent = sum(item.id not in rows or bool(rows[item.id].get("absent")) for item in items)
    return {**outcomes(scores), "missing_output": absent}


def outcomes(scores: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Number of items by outcome; judged + unparsed + truncated + failed + missing = all items."""
    counts = {"judged": 0, "unparsed": 0, "truncated": 0, "failed": 0, "missing": 0}
    for row in scores:
        kind = "judged" if row["score"] is not None else row["reason"].partition(":")[0]
        counts[kind if kind in counts else "failed"] += 1
    return counts


def position_gap(verdicts: Sequence[Mapping[str, Any]]) -> float | None:
    """Win rate when shown first minus win rate when shown second, in points; None without both orders."""
    shown: dict[str, dict[str, float]] = {}
    for row in verdicts:
        if row["preference_first"] is not None and row["raw"] != "identical":
            first = row["preference_first"]
            shown.setdefault(row["item_id"], {})[row["order"]] = (
                first if row["order"] == POLICY_FIRST else 1 - first
            )
    gaps = [orders[POLICY_FIRST] - orders["reference_first"] for orders in shown.values() if len(orders) == 2]
    return 100 * sum(gaps) / len(gaps) if gaps else None


def lengths(items: Sequence[Item], rows: Outputs) -> Lengths:
    """Mean lengths in characters and, if known, tokens; number of empty answers and fraction of finished ones."""
    answers = [row for item in items if (row := rows.get(item.id)) is not None and not row.get("absent")]
    tokens = [row["tokens"] for row in answers if row.get("tokens") is not None]
    finished = [row["finished"] for row in answers if row.get("finished") is not None]
    references = [len(item.reference) for item in items if item.reference is not None]
    return {
        "mean_length_chars": _mean([len(row["output"]) for row in answers]),
        "mean_length_tokens": _mean(tokens),
        "reference_length_chars": _mean(references),
        "empty": sum(not row["output"].strip() for row in answers),
        "finish_rate": _mean(finished),
    }


def warnings(report: WinRateReport) -> list[str]:
    """Warnings about the validity of the win rate."""
    found = []
    lost = report["n_items"] - report["n_scored"]
    if lost > INCOMPLETE * report["n_items"]:
        low, high = report["bounds"]
        found.append(
            f"{lost} of {report['n_items']} items have no score; all lost or all won, the win rate would be "
            f"{low:.1f} or {high:.1f}"
        )
    judge = report["judge"]
    if judge.get("averaged"):
        names = ", ".join(judge.get("annotators", ()))
        found.append(f"{judge['averaged']} verdicts are means over several annotators ({names})")
    if report["coverage"]["missing_output"]:
        found.append(f"{report['coverage']['missing_output']} items have no answer in the outputs")
    if report["empty"]:
        found.append(f"{report['empty']} answers are empty; they were judged as they are")
    if report["finish_rate"] is not None and 1 - report["finish_rate"] > TRUNCATED:
        found.append(f"{100 * (1 - report['finish_rate']):.1f} % of the answers were cut at the token limit")
    return found


def _groups(scores: Sequence[Mapping[str, Any]], key: str) -> dict[str, GroupResult]:
    groups: dict[str, list[float]] = {}
    for row in scores:
        groups.setdefault(row[key], [])
        if row["score"] is not None:
            groups[row[key]].append(row["score"])
    if set(groups) == {""}:
        return {}
    return {name: _group(values) for name, values in sorted(groups.items())}


def _group(values: Sequence[float]) -> GroupResult:
    if not values:
        return {"win_rate": None, "standard_error": None, "n": 0}
    found = percent(estimate_mean(values))
    return {"win_rate": found["win_rate"], "standard_error": found["standard_error"], "n": len(values)}


def _detectable(scored: Sequence[float]) -> float | None:
    """Smallest difference in points between two models that a paired test detects with 80 % power; correlation .25."""
    if len(scored) < 2:
        return None
    sd = estimate_mean(scored).se * math.sqrt(len(scored))
    return 100 * smallest_detectable_difference(sd * math.sqrt(2 * (1 - 0.25)), len(scored))


def _discrete(score: float) -> float:
    return 0.5 if score == 0.5 else float(score > 0.5)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _commonest(scores: Sequence[Mapping[str, Any]]) -> str:
    reasons = [row["reason"] for row in scores]
    pick: Callable[[str], int] = reasons.count
    return max(sorted(set(reasons)), key=pick)
