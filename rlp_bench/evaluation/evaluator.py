"""All suites of one policy under one recipe, and what training did to it: the report of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rlp_bench.api import registry
from rlp_bench.api.files import sha256
from rlp_bench.api.protocols import Engine, FewShotSuite, Judge, Progress, Suite
from rlp_bench.api.types import Artifact, Item
from rlp_bench.evaluation.diagnostics import Diagnostics, dev_prompts, underlying
from rlp_bench.evaluation.few_shot_report import few_shot_report
from rlp_bench.evaluation.options_and_pairs import options_report, pairs_report
from rlp_bench.evaluation.outputs import Outputs, generate_outputs, read_artifact
from rlp_bench.evaluation.resolve import is_subset, load_judge, load_suite, overlap, suite_identity
from rlp_bench.evaluation.win_rate import INDEPENDENT, evaluate_suite, restrict
from rlp_bench.recipes.schema import Recipe
from rlp_bench.store.store import Store

GOLD = "micro_gold"
Lineage = Sequence[tuple[str, Artifact]]


@dataclass
class Done:
    """A win-rate suite already judged in this evaluation: what its subsets are computed from."""

    items: Sequence[Item]
    outputs: Artifact
    rows: Outputs
    report: dict[str, Any]


class Evaluation:
    """One policy, one recipe, one judge and order."""

    def __init__(
        self,
        store: Store,
        recipe: Recipe,
        engine: Engine,
        judge: str | None,
        order: str | None,
        progress: Progress,
        allow_missing: bool = False,
    ) -> None:
        self.allow_missing = allow_missing
        self.store, self.recipe, self.engine, self.progress = store, recipe, engine, progress
        self.judge: Judge = load_judge(judge or recipe.judge.name)
        self.order = order or recipe.judge.order
        self.prompting, self.decoding = recipe.stage_prompting(), recipe.evaluation_decoding()
        self.done: dict[str, Done] = {}

    def suites(
        self, aliases: Sequence[str], policy: Artifact, reward: Artifact | None
    ) -> list[dict[str, Any]]:
        """One report a suite, in the order asked. A suite that holds another is judged before it."""
        loaded = {alias: load_suite(alias, self.recipe.suites) for alias in aliases}
        reports: dict[str, dict[str, Any]] = {}
        items = {alias: list(suite.items()) for alias, suite in loaded.items()}
        for alias in sorted(aliases, key=lambda alias: -len(items[alias])):
            reports[alias] = {
                "alias": column(alias, loaded[alias], self.recipe),
                **self._suite(alias, loaded[alias], items[alias], policy, reward),
            }
        return [reports[alias] for alias in aliases]

    def _suite(
        self, alias: str, suite: Suite, items: list[Any], policy: Artifact, reward: Artifact | None
    ) -> dict[str, Any]:
        name = self.recipe.engine_label
        if suite.kind == "options":
            path = underlying(policy)
            return options_report(self.store, self.engine, name, policy, path, suite, items)
        if suite.kind == "few_shot":
            asked, path = cast(FewShotSuite, suite), underlying(policy)
            return few_shot_report(self.store, self.engine, name, policy, path, asked, items, self.progress)
        if suite.kind == "pairs":
            return pairs_report(self.store, self.engine, name, reward, suite, items, self.prompting)
        return self._win_rate(alias, suite, items, policy)

    def _win_rate(self, alias: str, suite: Suite, items: list[Item], policy: Artifact) -> dict[str, Any]:
        for name, done in self.done.items():
            if is_subset(items, done.items):
                return restrict(done.report, suite, items, self.store, done.outputs, done.rows, name)
        outputs = generate_outputs(
            self.store,
            self.engine,
            policy,
            items,
            suite=suite_identity(suite),
            prompting=self.prompting,
            decoding=self.decoding,
            engine_name=self.recipe.engine_label,
            seed=self.recipe.decoding.seed,
            progress=self.progress,
        )
        rows = read_artifact(outputs)
        second = self.recipe.evaluation.second_judges
        report = evaluate_suite(
            self.store, suite, items, outputs, rows, self.judge, self.order, self.progress, second,
            self.allow_missing,
        )  # fmt: skip
        rendered = self.prompting.render(items[0].instruction, items[0].input)
        report["first_prompt"] = {
            "text": rendered,
            "sha256": sha256(rendered.encode("utf-8", "surrogatepass")),
        }
        shared = overlap(items, {name: done.items for name, done in self.done.items()})
        if shared:
            report["evidence"] = f"shares {shared[1]} items with {shared[0]}: {INDEPENDENT} on these"
        self.done[alias] = Done(items, outputs, rows, report)
        return report

    def diagnostics(self, policy: Artifact, lineage: Lineage) -> dict[str, Any]:
        """KL to the SFT policy and the accuracy of the run's reward models, on dev prompts."""
        sft, rewards = sft_policy(lineage), [(label, a) for label, a in lineage if a.kind == "reward"]
        count = self.recipe.evaluation.dev_pairs
        if sft is None or not count:
            why = "the run has no SFT policy" if sft is None else "evaluation.dev_pairs is 0"
            return {"kl": {"mean": None, "se": None, "estimator": f"none: {why}"}, "reward_model": None}
        name, _, argument = self.recipe.data.source.partition(":")
        asked = {i.id for d in self.done.values() for i in d.items}
        source = registry.load("suite", name)(argument)
        prompts = dev_prompts(source, count, asked)
        measure = Diagnostics(
            self.store,
            self.engine,
            self.recipe.engine_label,
            self.prompting,
            prompts,
            self.decoding.max_response_tokens,
            self.recipe.decoding.seed,
            self.progress,
        )
        gold = load_judge(GOLD) if GOLD in self.recipe.evaluation.second_judges else None
        found = [
            {
                "stage": label,
                "sft_pairs": measure.accuracy(sft, reward, self.judge, gold),
                "policy_pairs": measure.accuracy(policy, reward, self.judge, gold),
            }
            for label, reward in rewards
        ]
        last = {**found[-1], "earlier": found[:-1]} if found else None
        return {"kl": measure.kl(policy, sft), "reward_model": last}


def column(alias: str, suite: Suite, recipe: Recipe) -> str:
    """What the suite is called in tables: the recipe's alias; for "name:argument" the suite's own title if it has one,
    for one suite may measure several quantities.
    """
    return alias if alias in recipe.suites else str(getattr(suite, "title", alias))


def sft_policy(lineage: Lineage) -> Artifact | None:
    """The supervised policy of a lineage: made by trainer "sft"."""
    for label, artifact in lineage:
        trainer = artifact.manifest.get("provenance", {}).get("trainer")
        if artifact.kind == "policy" and "sft" in (label, trainer):
            return artifact
    return None


def totals(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Length and finish rate over the answers of all win-rate suites that are not subsets of others."""
    own = [
        r for r in reports if r["kind"] == "win_rate" and not str(r.get("evidence", "")).startswith("subset")
    ]
    weights = [r["n_items"] - r["coverage"]["missing_output"] for r in own]

    def mean(key: str) -> float | None:
        known = [(r[key], w) for r, w in zip(own, weights, strict=True) if r[key] is not None]
        weight = sum(w for _, w in known)
        return sum(value * w for value, w in known) / weight if weight else None

    return {"length_tokens": mean("mean_length_tokens"), "finish_rate": mean("finish_rate")}
