"""The stage "reward_pairs": of two random samples, the one with the higher reward is preferred."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Artifact, Context, write_jsonl

from ..data.row_accounting import RowAccount
from ..data.rows import preference_row
from .sample_pairs import sample_pairs


@dataclass(frozen=True)
class RewardPairs:
    """One pair per prompt, labeled by the reward model itself; a baseline that adds no new preference information.

    Source: Lang et al. 2024 (arXiv:2403.19279), Table 5, "Reward". Ours: equal rewards and identical texts are dropped.
    """

    name: ClassVar[str] = "reward_pairs"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"samples": "samples", "reward": "reward"}
    output: ClassVar[str] = "preferences"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "engine")

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Scores the samples and writes rows.jsonl."""
        given = inputs["samples"].rows()
        account = RowAccount(len(given))
        shown = list(sample_pairs(given, context.seed, account))
        prompts = [context.prompting.render(row["instruction"], row.get("input", "")) for row, _, _ in shown]
        responses = [response for _, first, second in shown for response in (first, second)]
        asked = [prompt for prompt in prompts for _ in (1, 2)]
        scores = context.engine.score(inputs["reward"].path, asked, responses)
        context.meter.count(reward_calls=len(responses))
        rows = []
        for (row, first, second), at_first, at_second in zip(shown, scores[::2], scores[1::2], strict=True):
            if at_first == at_second:
                account.drop("tie")
                continue
            chosen, rejected = (first, second) if at_first > at_second else (second, first)
            rows.append(preference_row(row, chosen, rejected, self.name, inputs["reward"].fingerprint[:16]))
        write_jsonl(out / "rows.jsonl", rows)
        return account.close(len(rows))

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        [prompts] = given["rows"]["samples"]
        lengths = {"prompt": given["prompt"], "response": given["response"]}
        read = {"does": "read", "models": ("reward",), "rows": 2 * prompts, **lengths}
        return {"models": {"reward": {"head": "scalar"}}, "passes": (read,), "makes": {"rows": prompts}}
