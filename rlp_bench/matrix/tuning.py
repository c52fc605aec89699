"""Tunes one hyperparameter of each method on dev prompts, by the rule of `recipes.schema.Tuning`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import write_text
from rlp_bench.api.protocols import Progress
from rlp_bench.api.types import Artifact, Item
from rlp_bench.evaluation.diagnostics import Diagnostics, dev_prompts
from rlp_bench.evaluation.evaluator import Evaluation, sft_policy
from rlp_bench.evaluation.kinds.win_rate import evaluate_suite
from rlp_bench.evaluation.outputs import read_artifact
from rlp_bench.evaluation.resolve import load_suite
from rlp_bench.plan.graph import Plan, build_plan
from rlp_bench.recipes.data_sources import open_source
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.records import RunRecord
from rlp_bench.run.runner import StageRunner
from rlp_bench.store.store import Store, fingerprint

Measured = Mapping[str, float]
"""value, win_rate (percent, against the SFT policy), standard_error, kl (nats), length (tokens)."""

MOST_ADDED = 2
"""Values that a grid grows by at most for each method: each is a training run."""


@dataclass(frozen=True)
class DevSuite:
    """The dev prompts as a suite; the reference answers are the SFT policy's."""

    name: str
    version: str


def candidates(recipe: Recipe, method: str) -> list[tuple[float, Plan]]:
    """(value, plan with that value) at the tuning seed.

    Empty if the method's last stage is not the tuned one, or if the method itself gives the setting.
    """
    rule = recipe.tuning
    if not rule.stage:
        return []
    plain = build_plan(recipe, method, rule.seed)
    if plain.final.trainer != rule.stage or rule.setting in plain.final.pinned:
        return []
    return [(value, candidate(recipe, method, value)) for value in rule.values]


def candidate(recipe: Recipe, method: str, value: float) -> Plan:
    """The plan of a method with one value, at the tuning seed."""
    rule = recipe.tuning
    return build_plan(recipe, method, rule.seed, tuned={rule.setting: value})


def beyond(measured: Sequence[Measured], values: Sequence[float]) -> float | None:
    """The value to measure next, where the best lies at the edge of what was measured; None: the choice stands.

    As far from the edge as its neighbor, as a factor. Grids of three positive values or more grow, by MOST_ADDED
    values at most: with two, one is always at the edge. A grid of whole numbers keeps to whole numbers.
    """
    tried = sorted(m["value"] for m in measured)
    chosen = choose(measured)
    if len(values) < 3 or tried[0] <= 0 or len(tried) >= len(values) + MOST_ADDED:
        return None
    if chosen not in (tried[0], tried[-1]):
        return None
    neighbor = tried[1] if chosen == tried[0] else tried[-2]
    found = float(f"{chosen * chosen / neighbor:.6g}")
    whole = all(value == int(value) for value in values)
    return None if whole and found != int(found) else found


def measure(
    record: RunRecord, value: float, store: Store, runner: StageRunner, progress: Progress
) -> Measured:
    """The measurement of a candidate's policy on dev prompts; stored, and reused if it exists."""
    recipe, sft = record.recipe, sft_policy(record.lineage)
    if sft is None:
        raise BenchError(f"method {record.method}: has no SFT policy to compare with; leave [tuning] out")
    identity = {
        "step": "tuning",
        "version": 1,
        "policy": record.policy.fingerprint,
        "sft": sft.fingerprint,
        "judge": recipe.judge.model_dump(mode="json"),
        "decoding": recipe.decoding.model_dump(mode="json"),
        "data": recipe.data.source,
        "prompts": recipe.tuning.prompts,
    }

    def build(folder: Any) -> Mapping[str, float]:
        found = _measure(record.policy, sft, recipe, store, runner, progress)
        write_text(folder / "policy.txt", record.policy.fingerprint + "\n")
        return found

    sealed = store.make("tuning", fingerprint(identity), build, identity)
    return {"value": value, **sealed.metrics}


def choose(measured: Sequence[Measured]) -> float:
    """The value with the highest win rate; ties go to the first."""
    return max(measured, key=lambda m: m["win_rate"])["value"]


def _measure(
    policy: Artifact, sft: Artifact, recipe: Recipe, store: Store, runner: StageRunner, progress: Progress
) -> Mapping[str, float]:
    source = open_source(recipe.data.source)
    evaluated = {item.id for alias in recipe.evaluation.suites for item in _questions(alias, recipe)}
    prompts = dev_prompts(source, recipe.tuning.prompts, evaluated)
    evaluation = Evaluation(store, recipe, runner.engine, None, None, progress)
    suite: Any = DevSuite(f"{recipe.data.source}:dev", source.version)
    plain = [Item(p["instruction"], p.get("input", ""), subset="dev") for p in prompts]
    reference = read_artifact(evaluation.answers(sft, plain, suite))
    items = [
        Item(item.instruction, item.input, subset="dev", reference=reference[item.id]["output"])
        for item in plain
    ]
    outputs = evaluation.answers(policy, items, suite)
    report = evaluate_suite(
        store, suite, items, outputs, read_artifact(outputs), evaluation.judge, evaluation.order, progress
    )
    kl = Diagnostics(store, runner.engine, recipe, prompts, progress).kl(policy, sft)
    found: dict[str, Any] = {
        "win_rate": report["win_rate"],
        "standard_error": report["standard_error"],
        "kl": kl["mean"],
        "length": report["mean_length_tokens"],
    }
    return found


def _questions(alias: str, recipe: Recipe) -> Sequence[Item]:
    suite = load_suite(alias, recipe.suites)
    return [item for item in suite.items() if isinstance(item, Item)]
