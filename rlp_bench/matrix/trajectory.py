"""Reward over-optimization curves along PPO, by KL: proxy reward, gold utility and reward-model accuracy.

After Gao et al. 2022 (arXiv:2210.10760, figure 1): optimizing a reward model keeps raising the proxy reward, while the
gold reward rises and then falls. The points of a run are its policy snapshots, measured on dev prompts with two samples
per prompt at temperature 1; win rates, if requested, are on a suite's items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from rlp_bench.api.errors import BenchError
from rlp_bench.api.report import headline, item_scores
from rlp_bench.api.types import Artifact
from rlp_bench.display import Display
from rlp_bench.evaluation.diagnostics import Diagnostics, dev_prompts, responses_of
from rlp_bench.evaluation.evaluator import Evaluation, gold_judge, sft_policy
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.data_sources import open_source, utilities
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.records import RunRecord
from rlp_bench.run.runner import StageRunner, run_plan
from rlp_bench.statistics import detectable_shift, paired_differences, step_down
from rlp_bench.store.store import Store, fingerprint


@dataclass(frozen=True)
class Point:
    """One policy snapshot of a run's last PPO stage."""

    method: str
    beta: float
    seed: int
    rollouts: int
    """0 is the SFT policy."""
    kl: float
    """KL(policy || SFT), nats per response."""
    proxy: float
    """Mean reward, standardized by the mean and standard deviation of the rewards of SFT samples."""
    gold: float | None
    """Mean gold utility; None where the data source has none."""
    gold_se: float | None
    accuracy: float | None
    """Accuracy of the reward model on pairs of this policy's samples labeled by the judge; without ties."""
    accuracy_n: int
    length: float
    """Mean length in tokens."""
    win_rate: float | None = None
    """Win rate on the requested suite, percent."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Item id -> score on the requested suite."""

    def row(self) -> dict[str, Any]:
        """The point as JSON values, without per-item scores."""
        return {key: value for key, value in asdict(self).items() if key != "scores"}


def trace(
    recipe_name: str,
    overrides: Sequence[str],
    method: str,
    betas: Sequence[float],
    seed: int,
    snapshots: Sequence[int],
    suite: str | None,
    store: Store,
    display: Display,
) -> list[Point]:
    """The points of a method's runs at several KL coefficients; existing runs are reused."""
    points: list[Point] = []
    for beta in betas:
        changed = [f"stages.ppo.beta={beta}", f"stages.ppo.snapshots={list(snapshots)}"]
        recipe = load_recipe(recipe_name, [*overrides, *changed])
        record = run_plan(build_plan(recipe, method, seed), store, display)
        with StageRunner(recipe, store, display) as runner:
            points += points_of(record, store, runner, suite, display)
    return points


def points_of(
    record: RunRecord,
    store: Store,
    runner: StageRunner,
    suite: str | None,
    display: Display,
    at: Sequence[int] | None = None,
) -> list[Point]:
    """Points of the SFT policy, the snapshots of the last PPO stage (`at` these rollouts) and the final policy."""
    recipe, sft, reward = record.recipe, sft_policy(record.lineage), record.last("reward")
    if sft is None or reward is None:
        raise BenchError(
            f"method {record.method}: has no SFT policy or no reward model; give one that runs PPO"
        )
    settings = record.policy.manifest["provenance"]["settings"]
    beta = settings["beta"]
    task = display.task(f"{record.method} {beta:g}")
    source = open_source(recipe.data.source)
    prompts = dev_prompts(source, recipe.evaluation.dev_pairs, set())
    measure = Diagnostics(store, runner.engine, recipe, prompts, task)
    kept = {n: p for n, p in _snapshots(record.policy).items() if at is None or n in at}
    policies = {0: sft, **kept, settings["rollouts"]: record.policy}
    found = []
    for rollouts, policy in policies.items():
        evaluation = Evaluation(store, recipe, runner.engine, None, None, task)
        found.append(
            Point(
                method=record.method,
                beta=beta,
                seed=record.seed,
                rollouts=rollouts,
                **_on_dev(measure, policy, sft, reward, source, evaluation),
                **(_on_suite(evaluation, suite, policy, store) if suite else {}),
            )
        )
    task.close()
    return found


def _snapshots(policy: Artifact) -> dict[int, Artifact]:
    """Rollouts -> policy, of the snapshots in a PPO stage's artifact."""
    folders = sorted((policy.path / "snapshots").glob("[0-9]*"))
    return {
        int(folder.name): Artifact("policy", fingerprint([policy.fingerprint, folder.name]), folder)
        for folder in folders
    }


def _on_dev(
    measure: Diagnostics,
    policy: Artifact,
    sft: Artifact,
    reward: Artifact,
    source: Any,
    evaluation: Evaluation,
) -> dict[str, Any]:
    found = measure.accuracy(policy, reward, evaluation.judge, gold_judge(evaluation.recipe))
    samples = measure.samples(policy)
    scores = np.array(measure.scores(samples, reward))
    at_sft = np.array(measure.scores(measure.samples(sft), reward))
    rows = samples.rows()
    worth = [utilities(source, row["instruction"], responses_of(row)) for row in rows]
    gold = None if None in worth else np.array(worth)
    return {
        "kl": measure.kl(policy, sft)["mean"],
        "proxy": float((scores.mean() - at_sft.mean()) / at_sft.std()),
        "gold": None if gold is None else float(gold.mean()),
        "gold_se": None if gold is None else float(gold.mean(1).std(ddof=1) / len(gold) ** 0.5),
        "accuracy": found["pool_accuracy"],
        "accuracy_n": found["n"],
        "length": float(np.mean([r["tokens"] for row in rows for r in row["responses"]])),
    }


def _on_suite(evaluation: Evaluation, suite: str, policy: Artifact, store: Store) -> dict[str, Any]:
    [report] = evaluation.suites([suite], policy, None)
    return {"win_rate": headline(report), "scores": item_scores(store.file, report)}


def at_kl(points: Sequence[Point], kl: float) -> dict[str, float] | None:
    """Item scores of a run at a given KL, linearly interpolated between two points; None outside the run's range.

    Source: ours. Comparing methods at equal KL separates their quality from how far they moved from SFT.
    """
    ordered = sorted(points, key=lambda point: point.kl)
    for low, high in pairwise(ordered):
        if low.kl <= kl <= high.kl and high.kl > low.kl:
            share = (kl - low.kl) / (high.kl - low.kl)
            shared = set(low.scores) & set(high.scores)
            return {
                item: (1 - share) * low.scores[item] + share * high.scores[item] for item in sorted(shared)
            }
    return None


def matched_kl(points: Sequence[Point], kl: float) -> list[dict[str, Any]]:
    """Each method compared with the first at one KL, paired over items and seeds; None if a seed does not reach it.

    One table: variances between seeds are shrunk over the methods that reach the KL, p is corrected by Holm.
    """
    by_run: dict[str, dict[int, list[Point]]] = {}
    for point in points:
        by_run.setdefault(point.method, {}).setdefault(point.seed, []).append(point)
    found = {m: {s: at_kl(way, kl) for s, way in runs.items()} for m, runs in by_run.items()}
    there = {m: {s: scores for s, scores in runs.items() if scores} for m, runs in found.items()}
    whole = {m: runs for m, runs in there.items() if len(runs) == len(found[m])}
    baseline, *others = by_run
    pairs = [(m, baseline) for m in others if {m, baseline} <= whole.keys()]
    known = {pair[0]: d for pair, d in zip(pairs, paired_differences(whole, pairs), strict=True)}
    rows: list[dict[str, Any]] = []
    for candidate in others:
        row: dict[str, Any] = {"kl": kl, "candidate": candidate, "baseline": baseline, "difference": None}
        if candidate not in known:
            outside = [
                (m, s) for m in (baseline, candidate) for s, scores in found[m].items() if scores is None
            ]
            reason = ", ".join(f"{m} seed {s}" for m, s in outside)
            rows.append({**row, "reason": f"outside the range of {reason}"})
            continue
        d = known[candidate]
        test: dict[str, Any] = {"p": d.p, "degrees": d.degrees, "standard_error": 100 * d.se, "n_items": d.n}
        seeds = sorted(set(whole[candidate]) & set(whole[baseline]))
        test |= {
            "seeds": seeds,
            "item_variance": None if np.isnan(d.item_variance) else 1e4 * d.item_variance,
        }
        test |= {
            f"{who}_means": [100 * float(np.mean(list(whole[m][s].values()))) for s in seeds]
            for who, m in (("candidate", candidate), ("baseline", baseline))
        }
        rows.append({**row, "difference": 100 * d.mean, "ci95": [100 * d.low, 100 * d.high], **test})
    return corrected(rows)


def corrected(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `matched_kl` as one family: Holm's p, and what each test could have seen at its level."""
    tried = [row for row in rows if row["difference"] is not None]
    for row, test in zip(tried, step_down([row["p"] for row in tried]), strict=True):
        row["p_holm"] = test.p
        seen = (
            row["standard_error"] * detectable_shift(row["degrees"], test.level)
            if row["standard_error"]
            else 0
        )
        row["smallest_detectable_difference"] = seen
    return list(rows)
