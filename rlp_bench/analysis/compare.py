"""Paired comparison of methods under one recipe: the same items and seeds, Holm over all comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.analysis.item_scores import ByMethod
from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.api.report import item_scores, read_report, suite_of
from rlp_bench.run.records import REPORT, read_record, run_folders
from rlp_bench.statistics import hierarchical_mean, holm, paired_difference_over_seeds
from rlp_bench.store.store import Store


def scores_by_method(store: Store, recipe_id: str, suite: str) -> ByMethod:
    """Item scores of every evaluated run of a recipe on a suite; of two runs of one seed, the newer."""
    found: ByMethod = {}
    for folder in run_folders(store):
        record = read_record(folder)
        if record["recipe_id"] != recipe_id or not (folder / REPORT).exists():
            continue
        one = suite_of(read_report(folder / REPORT), suite)
        if one is not None and "scores" in one:
            found.setdefault(record["method"], {})[record["seed"]] = item_scores(store.root, one)
    if not found:
        raise DataError(
            f'compare: no evaluated run of {recipe_id} has suite "{suite}"; run and evaluate one first'
        )
    return found


def stand_in_methods(store: Store, recipe_id: str) -> set[str]:
    """Methods of a recipe's runs that have a stage which stands in for what its name says."""
    records = [(folder, read_record(folder)) for folder in run_folders(store) if (folder / REPORT).exists()]
    return {
        record["method"]
        for folder, record in records
        if record["recipe_id"] == recipe_id and read_report(folder / REPORT).get("stand_ins")
    }


def compare(scores: ByMethod, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """One row a pair (candidate, baseline): difference in points, 95 % interval, p, Holm's p, verdict.

    Raises:
        UnknownName: a method has no run. DataError: two share no seed.
    """
    rows: list[dict[str, Any]] = []
    for candidate, baseline in pairs:
        for name in (candidate, baseline):
            if name not in scores:
                raise UnknownName(f'compare: method "{name}" has no evaluated run: {nearest(name, scores)}')
        seeds = sorted(set(scores[candidate]) & set(scores[baseline]))
        if not seeds:
            raise DataError(
                f"compare: {candidate} and {baseline} share no seed; run both with the same --seed"
            )
        d = paired_difference_over_seeds(scores[candidate], scores[baseline])
        rows.append(
            {
                "candidate": candidate,
                "baseline": baseline,
                "seeds": seeds,
                "n_items": d.n,
                "difference": 100 * d.mean,
                "standard_error": 100 * d.se,
                "ci95": [100 * d.low, 100 * d.high],
                "p": d.p,
                "smallest_detectable_difference": 100 * d.detectable(),
            }
        )
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        row["verdict"] = _verdict(row)
    return rows


def _verdict(row: Mapping[str, Any]) -> str:
    """In words: which is better, or that this could not be told and what could have been."""
    if row["p_holm"] < 0.05:
        return f"{row['candidate'] if row['difference'] > 0 else row['baseline']} is better"
    seen = row["smallest_detectable_difference"]
    return f"inconclusive: a true difference below {seen:.1f} points is often missed"


def means(scores: ByMethod) -> dict[str, dict[str, Any]]:
    """Win rate of every method over its seeds, in percent, with an interval for a new seed on new items."""
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
