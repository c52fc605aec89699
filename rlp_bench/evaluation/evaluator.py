"""Evaluates one policy under one recipe: all suites, and the diagnostics of a run."""

from collections.abc import Sequence
from typing import TypedDict

from rlp_bench.api.protocols import Engine, Judge, Progress, Suite
from rlp_bench.api.report import KL, RewardModelReport, SuiteReport, headline_key, is_subset
from rlp_bench.api.types import Artifact, Item
from rlp_bench.evaluation.diagnostics import Diagnostics, dev_prompts
from rlp_bench.evaluation.kinds.kind import Asking, Judged
from rlp_bench.evaluation.kinds.table import kind_of
from rlp_bench.evaluation.resolve import load_judge, load_suite
from rlp_bench.recipes.data_sources import open_source
from rlp_bench.recipes.schema import Recipe
from rlp_bench.store.store import Store

GOLD = "micro_gold"
Lineage = Sequence[tuple[str, Artifact]]


class DiagnosticsReport(TypedDict):
    """Effects of training on the policy."""

    kl: KL
    reward_model: RewardModelReport | None


class Totals(TypedDict):
    """Means over all judged answers."""

    length_tokens: float | None
    finish_rate: float | None


class Evaluation:
    """Evaluation under one recipe, with one judge and order."""

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
        self.done: dict[str, Judged] = {}

    def suites(self, aliases: Sequence[str], policy: Artifact, reward: Artifact | None) -> list[SuiteReport]:
        """One report per suite, in the order of `aliases`. Supersets are judged before their subsets.

        Raises:
            UnknownName: a suite's kind is not in `rlp_bench.evaluation.kinds`.
        """
        loaded = {alias: load_suite(alias, self.recipe.suites) for alias in aliases}
        kinds = {alias: kind_of(alias, suite.kind) for alias, suite in loaded.items()}
        items = {alias: list(suite.items()) for alias, suite in loaded.items()}
        asking = self._asking(policy, reward)
        reports: dict[str, SuiteReport] = {}
        for alias in sorted(aliases, key=lambda alias: -len(items[alias])):
            found = kinds[alias].evaluate(asking, alias, loaded[alias], items[alias])
            reports[alias] = {"alias": column(alias, loaded[alias], self.recipe), **found}
            if headline_key(reports[alias]) != kinds[alias].headline:
                reports[alias]["headline"] = kinds[alias].headline
        return [reports[alias] for alias in aliases]

    def _asking(self, policy: Artifact, reward: Artifact | None) -> Asking:
        return Asking(
            self.store,
            self.engine,
            self.recipe.engine_label,
            policy,
            reward,
            self.prompting,
            self.decoding,
            self.recipe.decoding.seed,
            self.judge,
            self.order,
            self.recipe.evaluation.second_judges,
            self.progress,
            self.allow_missing,
            self.done,
        )

    def answers(self, policy: Artifact, items: Sequence[Item], suite: Suite) -> Artifact:
        """The policy's answer to every item, with the recipe's prompt and decoding, as an "outputs" artifact."""
        return self._asking(policy, None).answers(items, suite)

    def diagnostics(self, policy: Artifact, lineage: Lineage) -> DiagnosticsReport:
        """KL to the SFT policy and the accuracy of the run's reward models, on dev prompts."""
        sft, rewards = sft_policy(lineage), [(label, a) for label, a in lineage if a.kind == "reward"]
        count = self.recipe.evaluation.dev_pairs
        if sft is None or not count:
            why = "the run has no SFT policy" if sft is None else "evaluation.dev_pairs is 0"
            return {"kl": {"mean": None, "se": None, "estimator": f"none: {why}"}, "reward_model": None}
        asked = {i.id for d in self.done.values() for i in d.items}
        prompts = dev_prompts(open_source(self.recipe.data.source), count, asked)
        measure = Diagnostics(self.store, self.engine, self.recipe, prompts, self.progress)
        gold = gold_judge(self.recipe)
        found: list[RewardModelReport] = [
            {
                "stage": label,
                "sft_pairs": measure.accuracy(sft, reward, self.judge, gold),
                "policy_pairs": measure.accuracy(policy, reward, self.judge, gold),
            }
            for label, reward in rewards
        ]
        last: RewardModelReport | None = {**found[-1], "earlier": found[:-1]} if found else None
        return {"kl": measure.kl(policy, sft), "reward_model": last}


def gold_judge(recipe: Recipe) -> Judge | None:
    """The judge with access to the true utility, if the recipe has it as a second judge."""
    return load_judge(GOLD) if GOLD in recipe.evaluation.second_judges else None


def column(alias: str, suite: Suite, recipe: Recipe) -> str:
    """The suite's name in tables: the recipe's alias; for "name:argument" the suite's title if it has one, because one
    suite may measure several quantities.
    """
    return alias if alias in recipe.suites else str(getattr(suite, "title", alias))


def sft_policy(lineage: Lineage) -> Artifact | None:
    """The SFT policy of a lineage: made by trainer "sft", or of a stage with that name; None if there is none."""
    for label, artifact in lineage:
        trainer = artifact.manifest.get("provenance", {}).get("trainer")
        if artifact.kind == "policy" and "sft" in (label, trainer):
            return artifact
    return None


def totals(reports: Sequence[SuiteReport]) -> Totals:
    """Mean length and finish rate over the answers of all judged suites that are not subsets of others."""
    own = [r for r in reports if "mean_length_tokens" in r and not is_subset(r)]
    weights = [r["n_items"] - r["coverage"].get("missing_output", 0) for r in own]

    def mean(values: Sequence[float | None]) -> float | None:
        known = [(value, w) for value, w in zip(values, weights, strict=True) if value is not None]
        weight = sum(w for _, w in known)
        return sum(value * w for value, w in known) / weight if weight else None

    return {
        "length_tokens": mean([r["mean_length_tokens"] for r in own]),
        "finish_rate": mean([r["finish_rate"] for r in own]),
    }
