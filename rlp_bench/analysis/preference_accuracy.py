"""Accuracy of synthetic preferences and of reward models: Table 5's first column and its causes.

Labels are compared with the recipe's evaluation judge without noise (over both orders, ties dropped and counted) and,
if the data source has one, with the gold utility. Every figure comes with that of a length rule.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlp_bench.api.files import write_jsonl
from rlp_bench.api.protocols import Judge
from rlp_bench.api.types import Artifact, Pair, prompt_id
from rlp_bench.display import Display
from rlp_bench.evaluation.diagnostics import Diagnostics, dev_prompts, responses_of
from rlp_bench.evaluation.evaluator import gold_judge, sft_policy
from rlp_bench.evaluation.resolve import load_judge
from rlp_bench.evaluation.verdicts import preferences_over_orders
from rlp_bench.recipes.data_sources import Response, open_source, utilities
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.records import RunRecord, stand_ins
from rlp_bench.run.runner import StageRunner
from rlp_bench.statistics import estimate_mean, pairwise_credit
from rlp_bench.store.store import Store, fingerprint

Row = Mapping[str, Any]
GAP_BINS = (0.25, 0.5, 1.0, 2.0)
"""Upper edges of the |utility gap| bins for matching; one more bin lies above the last edge."""


def preference_report(
    store: Store, recipe: Recipe, records: Sequence[RunRecord], display: Display, pairs: int | None = None
) -> dict[str, Any]:
    """{"labels": a row per method, "reward_models": a row per run and stage}; all measurements are stored."""
    judge = load_judge(recipe.judge.name)
    gold = gold_judge(recipe)
    by_method: dict[str, dict[int, Sequence[Row]]] = {}
    facts: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        for artifact in synthetic(record):
            rows = measured(store, artifact, judge, gold, open_source(recipe.data.source), display)
            by_method.setdefault(record.method, {})[record.seed] = rows
            facts.setdefault(record.method, []).append(
                {**_facts(artifact, rows), "stand_in": stand_ins(record.lineage)}
            )
    labels = [{"method": m, **_labels(seeds), **_merged(facts[m])} for m, seeds in by_method.items()]
    with StageRunner(recipe, store, display) as runner:
        models = [
            row
            for record in records
            for row in reward_rows(record, store, runner, judge, gold, display, pairs)
        ]
    return {"recipe": recipe.id, "labels": labels, "reward_models": models}


def _sides(row: Row) -> tuple[Response, Response]:
    """Chosen and rejected response of a preference."""
    return (row["chosen"], row["chosen_finished"]), (row["rejected"], row["rejected_finished"])


def synthetic(record: RunRecord) -> list[Artifact]:
    """The synthetic preference artifacts of a run: neither from its annotator (stage "preferences") nor from a file."""
    return [
        artifact
        for _, artifact in record.lineage
        if artifact.kind == "preferences"
        and artifact.manifest["provenance"]["trainer"] not in ("preferences", "import_preferences")
    ]


def measured(
    store: Store, artifact: Artifact, judge: Judge, gold: Judge | None, source: Any, display: Display
) -> Sequence[Row]:
    """One row per pair: pool and gold preference for the chosen response, utility gap, lengths, category and more."""
    identity = {
        "step": "preference_accuracy",
        "version": 2,
        "preferences": artifact.fingerprint,
        "judge": dict(judge.manifest()),
        "gold": dict(gold.manifest()) if gold else None,
    }

    def build(folder: Path) -> Mapping[str, float]:
        rows = artifact.rows()
        task = display.task("preference accuracy")
        pairs = [Pair(r["instruction"], r["chosen"], r["rejected"], r.get("input", "")) for r in rows]
        pool = preferences_over_orders(judge, pairs, task)
        truth = preferences_over_orders(gold, pairs, task) if gold else [None] * len(rows)
        task.close()
        write_jsonl(
            folder / "rows.jsonl",
            [
                {
                    "id": prompt_id(row),
                    "pool": p,
                    "gold": g,
                    "utility_gap": _gap(source, row["instruction"], *_sides(row)),
                    "chosen_tokens": row["chosen_tokens"],
                    "rejected_tokens": row["rejected_tokens"],
                    "category": row.get("category", ""),
                    "confidence": row.get("confidence"),
                }
                for row, p, g in zip(rows, pool, truth, strict=True)
            ],
        )
        return {"pairs": float(len(rows))}

    return store.make("verdicts", fingerprint(identity), build, identity).rows()


def _gap(source: Any, instruction: str, first: Response, second: Response) -> float | None:
    """Utility of the first response minus that of the second; None if the source has no utilities."""
    worth = utilities(source, instruction, (first, second))
    return None if worth is None else worth[0] - worth[1]


def _labels(seeds: Mapping[int, Sequence[Row]]) -> dict[str, Any]:
    """Accuracies over pairs and seeds, with their errors; ties are excluded."""
    found: dict[str, Any] = {"seeds": sorted(seeds)}
    right = {
        name: {
            seed: {r["id"]: float(r[name] > 0.5) for r in _decided(rows, name)}
            for seed, rows in seeds.items()
        }
        for name in ("pool", "gold")
    }
    found |= {name: _over_seeds(list(of_seed.values())) for name, of_seed in right.items()}
    found["scores"] = right["pool"]
    found["length_rule"] = _over_seeds(
        [{r["id"]: _longer_is_right(r) for r in _decided(rows, "pool")} for rows in seeds.values()]
    )
    every = [row for rows in seeds.values() for row in rows]
    found["ties"] = {name: sum(row[name] == 0.5 for row in every) for name in ("pool", "gold")}
    found["missing"] = {name: sum(row[name] is None for row in every) for name in ("pool", "gold")}
    found["pool_preference"] = float(np.mean([r["pool"] for r in every if r["pool"] is not None]))
    gaps = [row["utility_gap"] for row in every if row["utility_gap"] is not None]
    found["utility_gap"] = float(np.mean(gaps)) if gaps else None
    return found


def _decided(rows: Sequence[Row], name: str) -> list[Row]:
    return [row for row in rows if row[name] is not None and row[name] != 0.5]


def _longer_is_right(row: Row) -> float:
    return pairwise_credit(row["chosen_tokens"], row["rejected_tokens"], row["pool"] > 0.5)


def _over_seeds(scores: Sequence[Mapping[str, float]]) -> dict[str, Any] | None:
    """Mean of the seeds' means, with an interval over seeds; with one seed, over its pairs."""
    kept = [s for s in scores if s]
    if not kept:
        return None
    means = [sum(s.values()) / len(s) for s in kept]
    e = estimate_mean(means) if len(means) > 1 else estimate_mean(list(kept[0].values()))
    return {"accuracy": e.mean, "se": e.se, "ci95": [e.low, e.high], "n": sum(map(len, kept))}


def _facts(artifact: Artifact, rows: Sequence[Row]) -> dict[str, Any]:
    """A stage's counts, accepted prompts by category, confidence histogram and response lengths."""
    metrics = artifact.metrics
    accepted = Counter(row["category"] for row in rows)
    rejected_file = artifact.path / "rejected.jsonl"
    rejected: Counter[str] = Counter()
    if rejected_file.exists():
        rejected.update(row.get("category", "") for row in artifact.rows("rejected.jsonl"))
    histogram = {name: value for name, value in metrics.items() if name.startswith("confidence_up_to_")}
    return {
        "pairs": len(rows),
        "acceptance_rate": len(rows) / max(1.0, metrics["rows_in"]),
        "accepted_by_category": dict(accepted),
        "offered_by_category": {name: accepted[name] + rejected[name] for name in {**accepted, **rejected}},
        "confidence": histogram,
        "chosen_tokens": float(np.mean([row["chosen_tokens"] for row in rows])) if rows else None,
        "rejected_tokens": float(np.mean([row["rejected_tokens"] for row in rows])) if rows else None,
        "dropped": {name: value for name, value in metrics.items() if name.startswith("dropped_")},
    }


def _merged(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merges seeds: means of numbers, sums of counts by name."""
    found: dict[str, Any] = {"stand_in": facts[0]["stand_in"]}
    for key in ("pairs", "acceptance_rate", "chosen_tokens", "rejected_tokens"):
        known = [fact[key] for fact in facts if fact[key] is not None]
        found[key] = float(np.mean(known)) if known else None
    for key in ("accepted_by_category", "offered_by_category", "confidence", "dropped"):
        total: Counter[str] = Counter()
        for fact in facts:
            total.update(fact[key])
        found[key] = dict(sorted(total.items()))
    return found


def reward_rows(
    record: RunRecord,
    store: Store,
    runner: StageRunner,
    judge: Judge,
    gold: Judge | None,
    display: Display,
    pairs: int | None = None,
) -> list[dict[str, Any]]:
    """Accuracy of each reward model of a run on pairs of samples of the SFT, the first and the run's own policy.

    "matched" is the accuracy on the policy's pairs, reweighted to the SFT pairs' distribution of |utility gap| (bins
    GAP_BINS). A drop that remains is due to distribution shift, not to smaller gaps.
    """
    recipe, sft = record.recipe, sft_policy(record.lineage)
    rewards = [(label, a) for label, a in record.lineage if a.kind == "reward"]
    if sft is None or not rewards:
        return []
    source = open_source(recipe.data.source)
    task = display.task(f"{record.method} {record.seed}")
    prompts = dev_prompts(source, pairs or recipe.evaluation.dev_pairs, set())
    measure = Diagnostics(store, runner.engine, recipe, prompts, task)
    first = next((a for label, a in record.lineage if label == "ppo"), None)
    policies = {"sft": sft, "first": first, "own": record.policy}
    found = []
    for label, reward in rewards:
        row: dict[str, Any] = {
            "method": record.method,
            "seed": record.seed,
            "stage": label,
            "trainer": _trainer(reward),
        }
        of_sft = _right(measure, sft, reward, judge, gold, source)
        for name, policy in policies.items():
            if policy is not None:
                mine = _right(measure, policy, reward, judge, gold, source)
                row[name] = {who: _matched(mine[who], of_sft[who], name != "sft") for who in mine}
        found.append(row)
    task.close()
    return found


def _trainer(artifact: Artifact) -> str:
    return str(artifact.manifest["provenance"]["trainer"])


def _right(
    measure: Diagnostics, policy: Artifact, reward: Artifact, judge: Judge, gold: Judge | None, source: Any
) -> dict[str, list[tuple[float, float | None]]]:
    """ "pool" and "gold" -> (1 if correct, else 0; |utility gap|) of every pair that the judge does not call a tie."""
    samples = measure.samples(policy)
    scores = measure.scores(samples, reward)
    gaps = [_gap(source, row["instruction"], *responses_of(row)) for row in samples.rows()]
    found = {}
    for name, who in (("pool", judge), ("gold", gold)):
        if who is not None:
            labels = measure.labels(samples, who)
            found[name] = [
                (pairwise_credit(a, b, label > 0.5), None if gap is None else abs(gap))
                for (a, b), label, gap in zip(scores, labels, gaps, strict=True)
                if label is not None and label != 0.5
            ]
    return found


def _matched(
    mine: Sequence[tuple[float, float | None]], of_sft: Sequence[tuple[float, float | None]], match: bool
) -> dict[str, Any]:
    """Accuracy with its standard error, and the matched accuracy if utility gaps are known."""
    if not mine:
        return {"accuracy": None, "se": None, "n": 0}
    e = estimate_mean([right for right, _ in mine])
    row: dict[str, Any] = {"accuracy": e.mean, "se": e.se if e.n > 1 else None, "n": e.n}
    if match and of_sft and all(gap is not None for _, gap in (*mine, *of_sft)):
        row |= matched_accuracy([(r, g or 0.0) for r, g in mine], [g or 0.0 for _, g in of_sft])
    return row


def matched_accuracy(mine: Sequence[tuple[float, float]], gaps: Sequence[float]) -> dict[str, Any]:
    """Accuracy on (correct, |gap|) pairs, reweighted to the distribution of `gaps` over GAP_BINS.

    Bins without pairs are left out of both (`covered`: the fraction of `gaps` that remains). The error is that of a
    stratified mean. Source: direct standardization; its use here is ours.
    """

    def place(gap: float) -> int:
        return int(np.searchsorted(GAP_BINS, gap))

    cells: dict[int, list[float]] = {}
    for right, gap in mine:
        cells.setdefault(place(gap), []).append(right)
    weights = Counter(place(gap) for gap in gaps)
    shared = {b: weights[b] for b in cells if weights[b]}
    total = sum(shared.values())
    if not total:
        return {"matched": None, "matched_se": None, "covered": 0.0}
    mean = sum(w / total * float(np.mean(cells[b])) for b, w in shared.items())
    variance = sum((w / total) ** 2 * float(np.var(cells[b])) / len(cells[b]) for b, w in shared.items())
    return {"matched": mean, "matched_se": variance**0.5, "covered": total / len(gaps)}
