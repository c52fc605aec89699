"""The stage "preferences": the recipe's annotator compares two responses of the policy to each prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Artifact, BenchError, Context, Decoding, Pair, Sample, prompt_id, write_jsonl

from ..data.encoding import fitting_rows
from ..data.row_accounting import RowAccount
from ..data.rows import preference_row
from ..data.seeding import derived_seed, uniform
from ..training.setting_types import Positive


@dataclass(frozen=True)
class Preferences:
    """Two samples per prompt, shown in a random order that depends on content and seed.

    Source: Dubois et al. 2023 (arXiv:2305.14387), section 3: pairwise feedback of simulated annotators. Departs: ties,
    missing verdicts and identical texts give no row (all counted).
    """

    name: ClassVar[str] = "preferences"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "prompts": "prompts"}
    output: ClassVar[str] = "preferences"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "annotator", "engine")

    temperature: Positive = 1.0
    """Sampling temperature of both responses."""

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Samples, asks the annotator, and writes rows {instruction, input, chosen, rejected, ..., annotator}."""
        if context.annotator is None:
            raise BenchError("preferences: no annotator; name a judge in the recipe's [annotator]")
        given = inputs["prompts"].rows()
        account = RowAccount(len(given))
        rows, prompts = fitting_rows(given, inputs["init"].path, context.prompting, account)
        decoding = Decoding(self.temperature, 1.0, context.prompting.max_response_tokens)
        seed = derived_seed(context.seed, "preferences")
        samples = context.engine.sample(inputs["init"].path, prompts, decoding, n=2, seed=seed)
        drawn = [response for both in samples for response in both]
        context.meter.count(samples=len(drawn), tokens_sampled=sum(r.tokens for r in drawn))

        shown: list[tuple[Mapping[str, Any], Sample, Sample]] = []
        for row, (first, second) in zip(rows, samples, strict=True):
            if first.text == second.text:
                account.drop("identical")
                continue
            swap = uniform(seed, "position", prompt_id(row)) < 0.5
            shown.append((row, second, first) if swap else (row, first, second))
        preferred = _preferred(shown, context, seed)
        write_jsonl(out / "rows.jsonl", list(_labeled(shown, preferred, context.annotator.name, account)))
        decided = [first for first in preferred if first is not None and first != 0.5]
        return {
            **account.close(len(decided)),
            "first_preferred": sum(p > 0.5 for p in decided) / max(1, len(decided)),
            "mean_tokens": sum(r.tokens for r in drawn) / max(1, len(drawn)),
            "finish_rate": sum(r.finished for r in drawn) / max(1, len(drawn)),
        }

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        [prompts] = given["rows"]["prompts"]
        lengths = {"prompt": given["prompt"], "response": given["response"]}
        write = {"does": "write", "models": ("policy",), "rows": 2 * prompts, **lengths}
        return {"models": {"policy": {}}, "passes": (write,), "makes": {"rows": prompts}}


def _preferred(
    shown: Sequence[tuple[Mapping[str, Any], Sample, Sample]], context: Context, seed: int
) -> list[float | None]:
    """The annotator's preference for the response shown first in each pair."""
    assert context.annotator is not None
    pairs = [
        Pair(row["instruction"], first.text, second.text, row.get("input", ""))
        for row, first, second in shown
    ]
    return [verdict.preference for verdict in context.annotator.judge(pairs, seed)]


def _labeled(
    shown: Sequence[tuple[Mapping[str, Any], Sample, Sample]],
    preferred: Sequence[float | None],
    annotator: str,
    account: RowAccount,
) -> Any:
    """Rows of the pairs with a preference; ties and missing verdicts are counted as drops."""
    for (row, first, second), preference in zip(shown, preferred, strict=True):
        if preference is None or preference == 0.5:
            account.drop("no_verdict" if preference is None else "tie")
            continue
        chosen, rejected = (first, second) if preference > 0.5 else (second, first)
        yield preference_row(row, chosen, rejected, source="annotator", annotator=annotator)
