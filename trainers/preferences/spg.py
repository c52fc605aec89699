"""The stage "spg", synthetic preference generation: the policy's most frequent meaning is preferred to another."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from rlp_bench.api import (
    Artifact,
    Context,
    Entailment,
    content_id,
    merge_input,
    prompt_id,
    registry,
    write_jsonl,
)
from rlp_bench.api import Sample as Response

from ..data.row_accounting import RowAccount
from ..data.rows import preference_row
from ..data.seeding import uniform
from ..equations.semantic_clusters import Relation, semantic_clusters
from ..equations.synthetic_preference_selection import select_preference
from ..training.setting_types import Count, Share
from .category_balance import balanced


@dataclass(frozen=True)
class SyntheticPreferences:
    """One pair from each prompt whose largest cluster of equivalent samples has enough confidence.

    The input `reward` must be the reward model of the first step, not the one retrained on this data.

    Source: Lang et al. 2024 (arXiv:2403.19279), section 3.2 (RLP-SPG); clusters of Kuhn et al. 2023 (arXiv:2302.09664).
    Ours, not specified in the paper: drops, ties, the denominator (samples kept), the variant of the clustering.
    """

    name: ClassVar[str] = "spg"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"samples": "samples", "reward": "reward"}
    output: ClassVar[str] = "preferences"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "engine")

    confidence: Share = 0.5
    """γ: minimum share of the largest cluster. RLP: .5; 0 is the ablation Select-All."""
    entailment: str = "nli"
    """Entailment model for clustering, "name" or "name:argument" ("micro_claims:0.05", "nli:FOLDER")."""
    variant: Literal["strict", "lenient", "no_contradiction"] = "strict"
    """How the entailment verdicts in both directions decide equivalence; see `semantic_clusters`."""
    min_kept: Count = 8
    """Minimum number of usable samples (finished, not empty) per prompt. Ours: 8 of 10."""
    winner: Literal["highest_reward", "random"] = "highest_reward"
    """Which member of the largest cluster is chosen. RLP: the highest reward; random is a control."""
    loser: Literal["random", "nearest_length"] = "random"
    """Which response outside it is rejected. RLP: a random one; the nearest in length is a control."""
    balance: Literal["none", "category"] = "none"
    """Accepted prompts: those with confidence γ or more (RLP), or as many in proportion to the prompts' categories,
    the most confident of each (a control)."""

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes rows.jsonl (accepted pairs) and rejected.jsonl (all other prompts, with samples and reason)."""
        entailment = CachedEntailment(self.entailment)
        given = inputs["samples"].rows()
        account = RowAccount(len(given))
        rewards = _rewards(inputs["reward"], given, context)
        found_pairs: list[tuple[dict[str, Any], str]] = []
        histogram: Counter[int] = Counter()
        drawn = [Response(**response) for row in given for response in row["responses"]]
        for place, row in enumerate(given):
            context.progress(place, len(given))
            found, reason = self._candidate(row, rewards[place], entailment, context.seed)
            if found.get("confidence"):
                histogram[min(9, int(found["confidence"] * 10 - 1e-9))] += 1
            found_pairs.append((found, reason))
        if self.balance == "category":
            found_pairs = balanced(given, found_pairs)
        accepted = [found for found, reason in found_pairs if not reason]
        rejected = [
            {**row, **found, "reason": reason}
            for row, (found, reason) in zip(given, found_pairs, strict=True)
            if reason
        ]
        for row in rejected:
            account.drop(row["reason"])
        write_jsonl(out / "rows.jsonl", accepted)
        write_jsonl(out / "rejected.jsonl", rejected)
        context.meter.count(entailment_calls=entailment.calls)
        rate = len(accepted) / max(1, len(given))
        return {
            **account.close(len(accepted)),
            "acceptance_rate": rate,
            "acceptance_out_of_range": float(not 0.05 <= rate <= 0.95),
            "samples_empty": float(sum(not r.text.strip() for r in drawn)),
            "samples_unfinished": float(sum(not r.finished for r in drawn)),
            "entailment_calls": float(entailment.calls),
            **entailment.metrics(),
            **{f"confidence_up_to_{(bar + 1) / 10:.1f}": float(histogram[bar]) for bar in range(10)},
        }

    def check(self, *, reach: bool) -> str:
        """Checks, without loading it, that the entailment model can be loaded."""
        name, _, argument = self.entailment.partition(":")
        plugin = registry.load("entailment", name)
        check = getattr(plugin, "check", None)
        return self.entailment if check is None else str(check(argument, reach=reach))

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        [prompts] = given["rows"]["samples"]
        lengths = {"prompt": given["prompt"], "response": given["response"]}
        rows = prompts * given["responses"]["samples"]
        read = {"does": "read", "models": ("reward",), "rows": rows, **lengths}
        return {"models": {"reward": {"head": "scalar"}}, "passes": (read,), "makes": {"rows": prompts}}

    def _candidate(
        self, row: Mapping[str, Any], rewards: Sequence[float], entailment: "CachedEntailment", seed: int
    ) -> tuple[dict[str, Any], str]:
        """(pair and diagnostics of a prompt, reason for rejection or "" if accepted)."""
        responses = [Response(**response) for response in row["responses"]]
        kept = [i for i, r in enumerate(responses) if r.finished and r.text.strip()]
        found: dict[str, Any] = {"rewards": list(rewards), "kept": kept}
        if len(kept) < self.min_kept:
            return found, "too_few_kept"
        question = merge_input(row["instruction"], row.get("input", ""))
        clusters = entailment.clusters(question, [responses[i].text for i in kept], self.variant)
        key = prompt_id(row)
        picked = select_preference(
            clusters,
            [rewards[i] for i in kept],
            draw_rejected=uniform(seed, "rejected", key),
            winner=self.winner,
            draw_chosen=uniform(seed, "chosen", key),
            loser=self.loser,
            lengths=[responses[i].tokens for i in kept],
        )
        found |= {"clusters": clusters, "confidence": picked.confidence}
        if picked.rejected is None:
            return found, "one_cluster"
        pair = preference_row(
            row, responses[kept[picked.chosen]], responses[kept[picked.rejected]], "spg", self.entailment
        )
        return {**found, **pair}, "below_confidence" if picked.confidence < self.confidence else ""


class CachedEntailment:
    """An entailment plugin with a cache: each pair of texts is evaluated once, equal texts never."""

    def __init__(self, reference: str) -> None:
        self.judge: Entailment = registry.resolve("entailment", reference)
        self.known: dict[str, Relation] = {}
        self.calls = 0

    def clusters(self, instruction: str, texts: Sequence[str], variant: Any) -> list[int]:
        """Cluster number of every text; equal texts share a cluster without a call."""
        distinct = list(dict.fromkeys(texts))

        def relate(asked: Sequence[tuple[int, int]]) -> list[Relation]:
            return self._relations(instruction, [(distinct[i], distinct[j]) for i, j in asked])

        of = dict(zip(distinct, semantic_clusters(len(distinct), relate, variant), strict=True))
        return [of[text] for text in texts]

    def metrics(self) -> dict[str, float]:
        """The plugin's own metrics, if it has `metrics()` (NLI: truncation rates)."""
        measured = getattr(self.judge, "metrics", None)
        return dict(measured()) if measured else {}

    def _relations(self, instruction: str, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        keys = [content_id(instruction, premise, hypothesis) for premise, hypothesis in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self.known}
        if new:
            self.calls += len(new)
            told = self.judge.entails(instruction, list(new.values()))
            self.known.update(zip(new, told, strict=True))
        return [self.known[key] for key in keys]


def _rewards(reward: Artifact, rows: Sequence[Mapping[str, Any]], context: Context) -> list[list[float]]:
    """The reward model's score of every response, grouped by row."""
    prompts, responses = [], []
    for row in rows:
        for response in row["responses"]:
            prompts.append(context.prompting.render(row["instruction"], row.get("input", "")))
            responses.append(Response(**response))
    scores = iter(context.engine.score(reward.path, prompts, responses))
    context.meter.count(reward_calls=len(responses))
    return [[next(scores) for _ in row["responses"]] for row in rows]
