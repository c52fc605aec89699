"""Paired comparisons of methods under one recipe: same items and seeds, Holm-corrected over all comparisons."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.analysis.item_scores import ByMethod
from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.api.report import item_scores, read_report, suite_of
from rlp_bench.run.records import REPORT, check_evidence, read_record, run_folders
from rlp_bench.statistics import (
    ALPHA,
    Difference,
    Scores,
    collapsed_seeds,
    hierarchical_mean,
    paired_differences,
    step_down,
)
from rlp_bench.store.store import Store


def scores_by_method(store: Store, recipe_id: str, suite: str) -> ByMethod:
    """Item scores of every evaluated run of a recipe on a suite; the newer run if a method and seed has two.

    Raises:
        DataError: no run of the recipe is evaluated on the suite.
    """
    found: ByMethod = {}
    for folder in run_folders(store):
        record = read_record(folder)
        if record["recipe_id"] != recipe_id or not (folder / REPORT).exists():
            continue
        one = suite_of(check_evidence(folder, record, store), suite)
        if one is not None and "scores" in one:
            found.setdefault(record["method"], {})[record["seed"]] = item_scores(store.file, one)
    if not found:
        raise DataError(
            f'compare: no evaluated run of {recipe_id} has suite "{suite}"; evaluate a run on it first'
        )
    return found


def stand_in_methods(store: Store, recipe_id: str) -> set[str]:
    """Methods of a recipe's runs with a stage that is a stand-in (a substitute for the component it is named after)."""
    records = [(folder, read_record(folder)) for folder in run_folders(store) if (folder / REPORT).exists()]
    return {
        record["method"]
        for folder, record in records
        if record["recipe_id"] == recipe_id and read_report(folder / REPORT).get("stand_ins")
    }


def compare(scores: ByMethod, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """One row per (candidate, baseline) pair: difference in points, 95 % interval, p, Holm-corrected p, verdict.

    Between-seed variances are shrunk over all methods of `scores` (`statistics.paired_differences`). "collapsed" lists
    seeds that are low outliers; "without_collapsed" is the difference over the other seeds, shown without a verdict.

    Raises:
        UnknownName: a method has no evaluated run.
        DataError: the methods of a pair share no seed.
    """
    for candidate, baseline in pairs:
        for name in (candidate, baseline):
            if name not in scores:
                raise UnknownName(f'compare: method "{name}" has no evaluated run: {nearest(name, scores)}')
        if not set(scores[candidate]) & set(scores[baseline]):
            raise DataError(
                f"compare: {candidate} and {baseline} share no seed; run both with the same --seed"
            )
    found = paired_differences(scores, pairs)
    tests = step_down([d.p for d in found])
    low_seeds = collapsed(scores)
    rows = []
    for (candidate, baseline), d, test in zip(pairs, found, tests, strict=True):
        row = {
            "candidate": candidate,
            "baseline": baseline,
            "seeds": sorted(set(scores[candidate]) & set(scores[baseline])),
            **as_points(d),
            "p_holm": test.p,
            "level": test.level,
            "smallest_detectable_difference": 100 * d.detectable(test.level),
            "collapsed": {name: low_seeds[name] for name in (candidate, baseline) if name in low_seeds},
        }
        row["without_collapsed"] = _without(scores, candidate, baseline, row["collapsed"])
        rows.append({**row, "verdict": _verdict(row)})
    return rows


def as_points(d: Difference) -> dict[str, Any]:
    """A difference and the quantities of its test, in points."""
    return {
        "n_items": d.n,
        "difference": 100 * d.mean,
        "standard_error": 100 * d.se,
        "ci95": [100 * d.low, 100 * d.high],
        "p": d.p,
        "degrees": d.degrees,
        "seed_variance": None if math.isnan(d.seed_variance) else 1e4 * d.seed_variance,
        "item_variance": None if math.isnan(d.item_variance) else 1e4 * d.item_variance,
    }


def collapsed(scores: ByMethod) -> dict[str, list[int]]:
    """Method -> seeds whose mean score is a low outlier among the method's seeds (`statistics.outlying_seeds`)."""
    return collapsed_seeds({m: {s: _mean(v) for s, v in of_seed.items()} for m, of_seed in scores.items()})


def _mean(scores: Scores) -> float:
    return sum(scores.values()) / len(scores)


def _without(
    scores: ByMethod, candidate: str, baseline: str, low_seeds: Mapping[str, Sequence[int]]
) -> dict[str, Any] | None:
    """The difference over the seeds on which neither method collapsed; None if none collapsed or none remain."""
    dropped = {seed for seeds in low_seeds.values() for seed in seeds}
    left = {
        name: {seed: found for seed, found in of_seed.items() if seed not in low_seeds.get(name, ())}
        for name, of_seed in scores.items()
    }
    shared = sorted(set(left[candidate]) & set(left[baseline]))
    if not dropped or not shared:
        return None
    [d] = paired_differences(left, [(candidate, baseline)])
    return {"seeds": shared, "difference": 100 * d.mean, "ci95": [100 * d.low, 100 * d.high]}


def _verdict(row: Mapping[str, Any]) -> str:
    """The verdict as text: the better method, or "inconclusive" with the smallest detectable difference."""
    if row["p_holm"] < ALPHA:
        return f"{row['candidate'] if row['difference'] > 0 else row['baseline']} is better"
    seen = row["smallest_detectable_difference"]
    return f"inconclusive: a true difference below {seen:.1f} points is often missed"


def means(scores: ByMethod) -> dict[str, dict[str, Any]]:
    """Mean win rate of every method over its seeds, in percent, with an interval for a new seed and new items."""
    found = {}
    for name, by_seed in scores.items():
        e = hierarchical_mean(list(by_seed.values()))
        found[name] = {
            "win_rate": 100 * e.mean,
            "standard_error": 100 * e.se,
            "ci95": [100 * e.low, 100 * e.high],
            "seeds": sorted(by_seed),
            "n_items": e.n,
        }
    return found
