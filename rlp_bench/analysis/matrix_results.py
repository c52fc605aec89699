"""What a matrix says, as one plain dict: tables, paired tests, equal-KL comparisons, budgets, claims."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.analysis.claims import Claim, counts, judge_claims, load_claims
from rlp_bench.analysis.compare import ByMethod, compare, means
from rlp_bench.analysis.compute_budget import budgets
from rlp_bench.analysis.item_scores import by_method, reports_of
from rlp_bench.analysis.preference_accuracy import preference_report
from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.api.report import Report, suite_name
from rlp_bench.display import Display
from rlp_bench.evaluation.evaluator import GOLD
from rlp_bench.matrix.jobs import POINTS
from rlp_bench.matrix.schedule import MATRIX
from rlp_bench.matrix.trajectory import Point, corrected, matched_kl
from rlp_bench.run.records import open_run, read_record, stand_ins
from rlp_bench.store.store import Store

BASELINE = "ppo"
CONTROL = "rm_retrain"
"""The reward model drawn again from the same pairs: what is beyond it is what policy samples give."""
KLS = (0.5, 1.0, 2.0, 3.0, 4.0)


def open_matrix(store: Store, name: str | None) -> dict[str, Any]:
    """matrix.json of that name (a recipe id, "+tuned" where it was), or the newest.

    Raises:
        UnknownName: there is none.
    """
    files = sorted((store.root / "matrix").glob(f"*/{MATRIX}"), key=lambda path: path.stat().st_mtime_ns)
    if name is not None:
        names = [path.parent.name for path in files]
        if name not in names:
            raise UnknownName(f'matrix "{name}" does not exist: {nearest(name, names)}')
        files = [path for path in files if path.parent.name == name]
    if not files:
        raise UnknownName(f'store "{store.root}": has no matrix; `rlp-bench matrix` makes one')
    found: dict[str, Any] = json.loads(files[-1].read_text(encoding="utf-8"))
    if not found["runs"]:
        raise DataError(
            f'matrix "{found["recipe_id"]}": has no evaluated run; run `rlp-bench matrix` to its end'
        )
    return found


def results(store: Store, matrix: Mapping[str, Any], display: Display) -> dict[str, Any]:
    """Everything that docs/results-*.md shows. Label accuracies are measured here if they are not sealed yet."""
    reports = reports_of(store, matrix["runs"])
    folders = [store.root / run["folder"] for run in matrix["runs"]]
    records = [open_run(folder, store) for folder in folders]
    first = next(iter(next(iter(reports.values())).values()))
    aliases = [suite_name(suite) for suite in first["suites"]]
    main, measured = aliases[0], first["suites"][0]
    labels = preference_report(store, records[0].recipe, records, display)
    stood_in = {r.method: stand_ins(r.lineage) for r in records if stand_ins(r.lineage)}
    ledger = load_claims()
    claims = [
        {**row, "stand_in": bool({claim.candidate, claim.baseline} & stood_in.keys())}
        for claim, row in zip(
            ledger,
            judge_claims(ledger, lambda claim: _scores_for(claim, store, reports, labels)),
            strict=True,
        )
    ]
    points = points_of_matrix(store, matrix)
    scores = by_method(store, reports, main)
    others = [(name, BASELINE) for name in matrix["methods"] if name in scores and name != BASELINE]
    retrained = [(name, CONTROL) for name in points if name in scores and name not in (BASELINE, CONTROL)]
    return {
        "matrix": {key: value for key, value in matrix.items() if key not in ("runs", "recipe")},
        "versions": read_record(folders[0])["versions"],
        "machine": read_record(folders[0])["machine"],
        "judge": first["judge"],
        "main": main,
        "suites": {alias: means(found) for alias in aliases if (found := by_method(store, reports, alias))},
        "second": {
            judge: means(found)
            for judge in measured.get("second_judges", {})
            if (found := by_method(store, reports, main, judge))
        },
        "subsets": {
            subset: means(by_method(store, reports, main, subset=subset))
            for subset in measured.get("subsets", {})
        },
        "runs": {method: _facts(seeds) for method, seeds in reports.items()},
        "stand_ins": stood_in,
        "comparisons": compare(scores, others) if BASELINE in scores else [],
        "against_control": compare(scores, retrained) if CONTROL in scores else [],
        "matched_kl": matched_to_ppo(points),
        "trajectories": {method: _way(found) for method, found in points.items()},
        "budgets": budgets(store, folders),
        "labels": labels["labels"],
        "reward_models": labels["reward_models"],
        "claims": claims,
        "verdicts": counts(claims),
    }


def _scores_for(
    claim: Claim, store: Store, reports: Mapping[str, Mapping[int, Report]], labels: Mapping[str, Any]
) -> ByMethod:
    if claim.metric == "preference_accuracy":
        return {row["method"]: row["scores"] for row in labels["labels"]}
    return by_method(store, reports, claim.suite, claim.judge or None, claim.subset or None)


def _facts(seeds: Mapping[int, Report]) -> dict[str, Any]:
    """Seed by seed: KL, length, accuracy of the last reward model on SFT pairs and on its policy's, gold win rate."""
    found: dict[str, Any] = {"seeds": sorted(seeds)}
    ordered = [seeds[seed] for seed in sorted(seeds)]
    found["kl"] = [kl["mean"] if (kl := r.get("kl")) else None for r in ordered]
    found["length_tokens"] = [r["length_tokens"] for r in ordered]
    models = [r.get("reward_model") for r in ordered]
    found["accuracy_sft_pairs"] = [m and m["sft_pairs"].get("pool_accuracy") for m in models]
    found["accuracy_policy_pairs"] = [m and m["policy_pairs"].get("pool_accuracy") for m in models]
    golds = [r["suites"][0].get("second_judges", {}).get(GOLD) for r in ordered]
    found["gold"] = [gold and gold["win_rate"] for gold in golds]
    return found


def points_of_matrix(store: Store, matrix: Mapping[str, Any]) -> dict[str, list[Point]]:
    """Method -> points of all its runs along their last PPO; methods without PPO have none."""
    found: dict[str, list[Point]] = {}
    for run in matrix["runs"]:
        path = Path(store.root) / run["folder"] / POINTS
        if path.exists():
            rows = json.loads(path.read_text(encoding="utf-8"))
            found.setdefault(run["method"], []).extend(Point(**row) for row in rows)
    return found


def matched_to_ppo(points: Mapping[str, Sequence[Point]]) -> list[dict[str, Any]]:
    """Every method that ends in PPO against PPO at equal KL, over the seeds that both have."""
    if BASELINE not in points:
        return []
    ordered = [*points[BASELINE], *(p for name, way in points.items() if name != BASELINE for p in way)]
    return corrected([row for kl in KLS for row in matched_kl(ordered, kl)])


def _way(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Means over seeds at every rollout count, in order."""
    found = []
    for rollouts in sorted({p.rollouts for p in points}):
        here = [p for p in points if p.rollouts == rollouts]
        row: dict[str, Any] = {"rollouts": rollouts, "seeds": len(here)}
        for key in ("kl", "win_rate", "gold", "proxy", "accuracy", "length"):
            known = [value for p in here if (value := getattr(p, key)) is not None]
            row[key] = sum(known) / len(known) if known else None
        found.append(row)
    return found
