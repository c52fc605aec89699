"""The results of a matrix as one plain dict: tables, paired tests, equal-KL comparisons, budgets, claims."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.analysis.claims import Claim, load_claims
from rlp_bench.analysis.compare import ByMethod, collapsed, compare, means
from rlp_bench.analysis.compute_budget import budgets
from rlp_bench.analysis.item_scores import by_method, items_of, reports_of
from rlp_bench.analysis.preference_accuracy import preference_report
from rlp_bench.analysis.verdicts import EXPLORATORY, PRIMARY, counts, judge_claims
from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.api.report import Report, suite_name
from rlp_bench.display import Display
from rlp_bench.evaluation.evaluator import GOLD
from rlp_bench.matrix.jobs import POINTS, read_points
from rlp_bench.matrix.schedule import MATRIX, read_matrix
from rlp_bench.matrix.trajectory import Point, corrected, matched_kl
from rlp_bench.run.records import open_run, read_record, stand_ins
from rlp_bench.store.store import Store

BASELINE = "ppo"
CONTROL = "rm_retrain"
"""Control: the reward model is retrained on the same pairs, so that gains over it come from the policy samples."""
KLS = (0.5, 1.0, 2.0, 3.0, 4.0)


def open_matrix(store: Store, name: str | None) -> dict[str, Any]:
    """matrix.json of that name (a recipe id, with "+tuned" if tuned); the newest if `name` is None.

    Raises:
        UnknownName: it does not exist.
        DataError: it has no evaluated run.
    """
    files = sorted((store.root / "matrix").glob(f"*/{MATRIX}"), key=lambda path: path.stat().st_mtime_ns)
    if name is not None:
        names = [path.parent.name for path in files]
        if name not in names:
            raise UnknownName(f'matrix "{name}" does not exist: {nearest(name, names)}')
        files = [path for path in files if path.parent.name == name]
    if not files:
        raise UnknownName(f'store "{store.root}": has no matrix; `rlp-bench matrix` makes one')
    found = read_matrix(files[-1])
    if not found["runs"]:
        raise DataError(
            f'matrix "{found["recipe_id"]}": has no evaluated run; resume it by `rlp-bench matrix`'
        )
    return found


def results(store: Store, matrix: Mapping[str, Any], display: Display) -> dict[str, Any]:
    """Everything that docs/results-*.md shows. Measures label accuracies that are not in the store yet."""
    return analyze(gather(store, matrix, display))


def gather(store: Store, matrix: Mapping[str, Any], display: Display) -> dict[str, Any]:
    """The data of the runs of a matrix, before any test: input of `analyze` and `write_stored`.

    "tables": item scores, keyed by `table_name`. "subsets": item ids of the main suite by subset.
    """
    reports = reports_of(store, matrix["runs"])
    folders = [store.root / run["folder"] for run in matrix["runs"]]
    records = [open_run(folder, store) for folder in folders]
    first = next(iter(next(iter(reports.values())).values()))
    aliases = [suite_name(suite) for suite in first["suites"]]
    main = first["suites"][0]
    labels = preference_report(store, records[0].recipe, records, display)
    points = points_of_matrix(store, matrix)
    tables = {table_name(alias): by_method(store, reports, alias) for alias in aliases}
    tables |= {
        table_name(aliases[0], judge): by_method(store, reports, aliases[0], judge)
        for judge in main.get("second_judges", {})
    }
    return {
        "matrix": {key: value for key, value in matrix.items() if key not in ("runs", "recipe")},
        "versions": read_record(folders[0])["versions"],
        "machine": read_record(folders[0])["machine"],
        "judge": first["judge"],
        "suites": aliases,
        "judges": list(main.get("second_judges", {})),
        "runs": {method: _facts(seeds) for method, seeds in reports.items()},
        "stand_ins": {r.method: stand_ins(r.lineage) for r in records if stand_ins(r.lineage)},
        "policies": list(points),
        "matched_kl": matched_to_ppo(points),
        "trajectories": {method: _trajectory(found) for method, found in points.items()},
        "budgets": budgets(store, folders),
        "labels": [{k: v for k, v in row.items() if k != "scores"} for row in labels["labels"]],
        "label_accuracy": {
            row["method"]: {seed: sum(s.values()) / len(s) for seed, s in row["scores"].items() if s}
            for row in labels["labels"]
        },
        "reward_models": labels["reward_models"],
        "subsets": {
            name: items_of(by_method(store, reports, aliases[0], subset=name))
            for name in main.get("subsets", {})
        },
        "tables": {name: table for name, table in tables.items() if table},
    }


def table_name(suite: str, judge: str = "") -> str:
    """The key of a table of item scores."""
    return f"{suite} by {judge}" if judge else suite


def analyze(gathered: Mapping[str, Any]) -> dict[str, Any]:
    """Means, tests and verdicts, computed from the result of `gather` only."""
    tables: Mapping[str, ByMethod] = gathered["tables"]
    main = gathered["suites"][0]
    scores = tables[main]
    names = [name for name in gathered["matrix"]["methods"] if name in scores]
    against = [(name, BASELINE) for name in names if name != BASELINE] if BASELINE in scores else []
    retrained = [name for name in gathered["policies"] if name in scores and name not in (BASELINE, CONTROL)]
    ledger = load_claims()
    claims = [
        {**row, "stand_in": bool({claim.candidate, claim.baseline} & gathered["stand_ins"].keys())}
        for claim, row in zip(
            ledger, judge_claims(ledger, lambda claim: scores_for(claim, gathered)), strict=True
        )
    ]
    found = {k: v for k, v in gathered.items() if k not in ("tables", "judges", "policies", "label_accuracy")}
    return {
        **found,
        "main": main,
        "suites": {alias: means(tables[alias]) for alias in gathered["suites"] if alias in tables},
        "second": {
            judge: means(tables[name])
            for judge in gathered["judges"]
            if (name := table_name(main, judge)) in tables
        },
        "subsets": {name: means(_only(scores, items)) for name, items in gathered["subsets"].items()},
        "comparisons": compare(scores, against),
        "comparisons_by": {
            judge: compare(table, [pair for pair in against if set(pair) <= table.keys()])
            for judge in gathered["judges"]
            if BASELINE in (table := tables.get(table_name(main, judge), {}))
        },
        "against_control": compare(scores, [(n, CONTROL) for n in retrained]) if CONTROL in scores else [],
        "collapsed": collapsed(scores),
        "claims": claims,
        "verdicts": counts(claims),
        "primary": counts(claims, PRIMARY),
        "exploratory": counts(claims, EXPLORATORY),
    }


def scores_for(claim: Claim, gathered: Mapping[str, Any]) -> ByMethod:
    """The data a claim is tested on. Label accuracies are over different items in every run: one mean per seed."""
    if claim.metric == "preference_accuracy":
        accuracy = gathered["label_accuracy"]
        return {m: {int(s): {"mean": mean} for s, mean in seeds.items()} for m, seeds in accuracy.items()}
    table: ByMethod = gathered["tables"].get(table_name(claim.suite, claim.judge), {})
    return _only(table, gathered["subsets"].get(claim.subset, [])) if claim.subset else table


def _only(table: ByMethod, items: Sequence[str]) -> ByMethod:
    """A table restricted to some items; runs without any of them are left out."""
    wanted = set(items)
    found: ByMethod = {
        m: {s: kept for s, of in seeds.items() if (kept := {i: v for i, v in of.items() if i in wanted})}
        for m, seeds in table.items()
    }
    return {method: seeds for method, seeds in found.items() if seeds}


def _facts(seeds: Mapping[int, Report]) -> dict[str, Any]:
    """Per seed: KL, length, accuracy of the last reward model on SFT pairs and on policy pairs, gold win rate."""
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
    """Method -> points of all its runs along their last PPO stage; methods without PPO are left out."""
    found: dict[str, list[Point]] = {}
    for run in matrix["runs"]:
        path = Path(store.root) / run["folder"] / POINTS
        if path.exists():
            found.setdefault(run["method"], []).extend(read_points(path))
    return found


def matched_to_ppo(points: Mapping[str, Sequence[Point]]) -> list[dict[str, Any]]:
    """Every method that ends in PPO, compared with PPO at equal KL over shared seeds."""
    if BASELINE not in points:
        return []
    ordered = [
        *points[BASELINE],
        *(p for name, trajectory in points.items() if name != BASELINE for p in trajectory),
    ]
    return corrected([row for kl in KLS for row in matched_kl(ordered, kl)])


def _trajectory(points: Sequence[Point]) -> list[dict[str, Any]]:
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
