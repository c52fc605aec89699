"""The stage "sample": responses of a policy to prompts, the input of reward learning on policy."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Artifact, Context, Decoding, write_jsonl

from ..data.encoding import fitting_rows
from ..data.row_accounting import RowAccount
from ..data.rows import question_of
from ..data.seeding import derived_seed
from ..training.setting_types import Count, NotNegative


@dataclass(frozen=True)
class Sample:
    """n responses per prompt. Source: Lang et al. 2024 (arXiv:2403.19279), section 4: n = 10, temperature 1."""

    name: ClassVar[str] = "sample"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"policy": "policy", "prompts": "prompts"}
    output: ClassVar[str] = "samples"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "engine")

    n: Count = 10
    """Responses per prompt. RLP: 10."""
    temperature: NotNegative = 1.0
    """Sampling temperature. RLP: 1."""
    limit: Count | None = None
    """Maximum number of prompts; None: all."""

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes one row per prompt: {instruction, input, category?, responses: [{text, tokens, finished}]}."""
        given = inputs["prompts"].rows()
        account = RowAccount(len(given))
        chosen = given[: self.limit]
        account.drop("beyond_limit", len(given) - len(chosen))
        rows, prompts = fitting_rows(chosen, inputs["policy"].path, context.prompting, account)
        decoding = Decoding(self.temperature, 1.0, context.prompting.max_response_tokens)
        seed = derived_seed(context.seed, "sample")
        samples = context.engine.sample(inputs["policy"].path, prompts, decoding, n=self.n, seed=seed)
        write_jsonl(
            out / "rows.jsonl",
            [
                {
                    **question_of(row),
                    "responses": [response.row() for response in responses],
                }
                for row, responses in zip(rows, samples, strict=True)
            ],
        )
        drawn = [response for responses in samples for response in responses]
        context.meter.count(samples=len(drawn), tokens_sampled=sum(r.tokens for r in drawn))
        return {
            **account.close(len(rows)),
            "samples": float(len(drawn)),
            "mean_tokens": sum(r.tokens for r in drawn) / max(1, len(drawn)),
            "finish_rate": sum(r.finished for r in drawn) / max(1, len(drawn)),
        }

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        prompts = min(given["rows"]["prompts"][0], self.limit or float("inf"))
        lengths = {"prompt": given["prompt"], "response": given["response"]}
        write = {"does": "write", "models": ("policy",), "rows": self.n * prompts, **lengths}
        makes = {"rows": prompts, "responses": self.n}
        return {"models": {"policy": {}}, "passes": (write,), "makes": makes}
