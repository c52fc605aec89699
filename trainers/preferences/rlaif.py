"""The stage "rlaif": the policy compares two of its own samples."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from rlp_bench.api import Artifact, Context, DataError, mean_over_orders, merge_input, write_jsonl

from ..data.row_accounting import RowAccount
from ..data.rows import preference_row
from .sample_pairs import Compared, sample_pairs

PROMPT = Path(__file__).parents[1] / "prompts" / "rlaif.txt"


@dataclass(frozen=True)
class PolicyAsJudge:
    """One pair per prompt, labeled by the policy: the next-token probability of A or B, averaged over both orders.

    A policy that cannot follow such a prompt (the embedded world's 0.2 M parameters) can use "likelihood" instead: it
    prefers the response with the higher mean log-probability per token. That is a substitute, not RLAIF; the metric
    `stand_in` marks it in every table.

    Source: Lee et al. 2023 (arXiv:2309.00267), without chain of thought; Lang et al. 2024 (arXiv:2403.19279), Table 5.
    Ours: the prompt's wording.
    """

    name: ClassVar[str] = "rlaif"
    version: ClassVar[str] = "1:" + hashlib.sha256(PROMPT.read_bytes()).hexdigest()[:8]
    inputs: ClassVar[Mapping[str, str]] = {"samples": "samples", "policy": "policy"}
    output: ClassVar[str] = "preferences"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "engine")

    how: Literal["prompted", "likelihood"] = "prompted"
    """Labels from a prompt with answers A and B, or from the likelihood of the samples."""
    undecided: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Pairs with |p - 1/2| up to this are dropped; 0 drops exact ties only. Lee et al. keep soft labels instead."""

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Labels the samples and writes rows.jsonl; each row has the probability of the chosen response."""
        given = inputs["samples"].rows()
        account = RowAccount(len(given))
        shown = list(sample_pairs(given, context.seed, account))
        ask = self._prompted if self.how == "prompted" else self._likelihood
        preferred, metrics = ask(shown, inputs["policy"].path, context)
        rows = []
        for (row, first, second), p in zip(shown, preferred, strict=True):
            if abs(p - 0.5) <= self.undecided:
                account.drop("undecided")
                continue
            chosen, rejected = (first, second) if p > 0.5 else (second, first)
            made = preference_row(row, chosen, rejected, self.name, self.how)
            rows.append({**made, "probability": max(p, 1 - p)})
        write_jsonl(out / "rows.jsonl", rows)
        return {**account.close(len(rows)), **metrics}

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        [prompts] = given["rows"]["samples"]
        prompted = self.how == "prompted"  # both responses are in the question, and one token is the answer
        lengths = {
            "prompt": given["prompt"] + 2 * given["response"] * prompted,
            "response": 1 if prompted else given["response"],
        }
        read = {"does": "read", "models": ("policy",), "rows": 2 * prompts, "logits": True, **lengths}
        return {"models": {"policy": {}}, "passes": (read,), "makes": {"rows": prompts}}

    def _prompted(
        self, shown: Sequence[Compared], policy: Path, context: Context
    ) -> tuple[list[float], dict[str, float]]:
        """(preference for the first response of each pair, metrics of position bias)."""
        stems = []
        for row, first, second in shown:
            asked = merge_input(row["instruction"], row.get("input", ""))
            for one, other in ((first.text, second.text), (second.text, first.text)):
                stems.append(context.prompting.render(_fill(asked, one, other)))
        logprobs = context.engine.options(policy, stems, [[" A", " B"]] * len(stems))
        if stems and all(a == b for a, b in logprobs):
            raise DataError(
                "rlaif: the policy cannot tell the answers A and B apart; expected different probabilities for some "
                'prompt (does its tokenizer have letters?); set stages.rlaif.how = "likelihood", a substitute for RLAIF'
            )
        says_a = [1 / (1 + math.exp(b - a)) for a, b in logprobs]
        both = list(zip(says_a[::2], says_a[1::2], strict=True))
        count = max(1, len(both))
        return [mean_over_orders(one, turned) for one, turned in both], {
            "stand_in": 0.0,
            "says_a": sum(says_a) / max(1, len(says_a)),
            "orders_disagree": sum((one > 0.5) == (turned > 0.5) for one, turned in both) / count,
        }

    def _likelihood(
        self, shown: Sequence[Compared], policy: Path, context: Context
    ) -> tuple[list[float], dict[str, float]]:
        """(sigmoid of the difference in mean log-probability per token, EOS included; metrics)."""
        responses = [response for _, first, second in shown for response in (first, second)]
        prompts = [
            context.prompting.render(row["instruction"], row.get("input", ""))
            for row, _, _ in shown
            for _ in (1, 2)
        ]
        sums = context.engine.logprobs(policy, prompts, responses)
        means = [value / (r.tokens + r.finished) for value, r in zip(sums, responses, strict=True)]
        gaps = [one - other for one, other in zip(means[::2], means[1::2], strict=True)]
        return [1 / (1 + math.exp(-gap)) for gap in gaps], {"stand_in": 1.0}


def _fill(instruction: str, first: str, second: str) -> str:
    """The prompt, filled in one pass, so that placeholders inside the inserted texts are not replaced."""
    given = {"instruction": instruction, "first": first, "second": second}
    fields: Any = re.compile("{(" + "|".join(given) + ")}")
    return str(fields.sub(lambda found: given[found[1]], PROMPT.read_text(encoding="utf-8").strip()))
