"""The stage "annotate": the recipe's annotator labels a policy's samples, the ceiling of synthetic labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Artifact, BenchError, Context, Pair, write_jsonl

from ..data.row_accounting import RowAccount
from ..data.rows import preference_row
from ..data.seeding import derived_seed, shuffled
from .sample_pairs import sample_pairs


@dataclass(frozen=True)
class Annotate:
    """The annotator labels two random samples per prompt, until there are as many pairs as in another artifact.

    Source: ours, a control: the same number of extra pairs on the same policy's samples, labeled by the annotator of D.
    If there are too few usable prompts, there are fewer pairs (`short_by`).
    """

    name: ClassVar[str] = "annotate"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"samples": "samples", "like": "preferences?"}
    output: ClassVar[str] = "preferences"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "annotator")

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Asks the annotator and writes rows.jsonl; prompts are in an order shuffled by the seed."""
        if context.annotator is None:
            raise BenchError("annotate: no annotator; name a judge in the recipe's [annotator]")
        given = inputs["samples"].rows()
        wanted = len(inputs["like"].rows()) if "like" in inputs else len(given)
        account = RowAccount(len(given))
        shown = list(sample_pairs(given, context.seed, account))
        shown = [shown[place] for place in shuffled(len(shown), context.seed, "annotate")]
        pairs = [Pair(row["instruction"], a.text, b.text, row.get("input", "")) for row, a, b in shown]
        verdicts = context.annotator.judge(pairs, derived_seed(context.seed, "annotate"))
        rows: list[dict[str, object]] = []
        for (row, first, second), verdict in zip(shown, verdicts, strict=True):
            if len(rows) == wanted:
                account.drop("beyond_count")
            elif verdict.preference is None or verdict.preference == 0.5:
                account.drop("no_verdict" if verdict.preference is None else "tie")
            else:
                chosen, rejected = (first, second) if verdict.preference > 0.5 else (second, first)
                rows.append(preference_row(row, chosen, rejected, self.name, context.annotator.name))
        write_jsonl(out / "rows.jsonl", rows)
        return {**account.close(len(rows)), "short_by": float(wanted - len(rows))}

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        like = given["rows"].get("like") or given["rows"]["samples"]
        return {"models": {}, "passes": (), "makes": {"rows": like[0]}}
