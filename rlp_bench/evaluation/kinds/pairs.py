"""Kind "pairs": labeled pairs of answers, ranked by the run's reward model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api.files import read_jsonl, write_lines
from rlp_bench.api.protocols import Suite
from rlp_bench.api.report import SuiteReport
from rlp_bench.api.types import LabeledPair, Sample
from rlp_bench.evaluation.kinds.kind import Asking, Kind, accuracy, accuracy_by, header
from rlp_bench.statistics import pairwise_credit
from rlp_bench.store.store import fingerprint


def pairs_report(asking: Asking, alias: str, suite: Suite, items: Sequence[LabeledPair]) -> SuiteReport:
    """Accuracy of the run's reward model on labeled pairs; equal scores count half."""
    reward = asking.reward
    if reward is None:
        return {
            "suite": suite.name,
            "suite_version": suite.version,
            "kind": "pairs",
            "n_items": len(items),
            "accuracy": None,
            "standard_error": None,
            "n": 0,
            "reason": "the run has no reward model",
        }
    asked_items = fingerprint(sorted([item.id, str(item.label)] for item in items))
    identity = {
        "step": "pairs",
        "version": 1,
        "reward": reward.fingerprint,
        "suite": {"name": suite.name, "version": suite.version},
        "items": asked_items,
        "prompting": asking.prompting.render("{}"),
        "engine": asking.engine_name,
    }

    def build(folder: Path) -> Mapping[str, float]:
        prompts = [asking.prompting.render(item.instruction) for item in items for _ in (1, 2)]
        answers = [finished_sample(text) for item in items for text in (item.output_1, item.output_2)]
        scores = asking.engine.score(reward.path, prompts, answers)
        rows: list[dict[str, Any]] = [
            {
                "item_id": item.id,
                "subset": item.subset,
                "score": pairwise_credit(first, second, item.label == 1),
            }
            for item, first, second in zip(items, scores[::2], scores[1::2], strict=True)
        ]
        write_lines(folder / "scores.jsonl", rows)
        return {"accuracy": sum(row["score"] for row in rows) / len(rows)}

    sealed = asking.store.make("verdicts", fingerprint(identity), build, identity)
    rows = list(read_jsonl(sealed.path / "scores.jsonl"))
    return {
        **header(suite, "pairs", "accuracy.reward_order", sealed, asked_items),
        **accuracy([row["score"] for row in rows]),
        "subsets": accuracy_by(rows, "subset"),
    }


def finished_sample(text: str) -> Sample:
    """A given text as a finished response; the engine computes its length in tokens."""
    return Sample(text, 0, True)


def judged_by(report: SuiteReport) -> str:
    """The last cell of the suite's line in the summary."""
    return "reward model"


PAIRS = Kind("pairs", "accuracy", pairs_report, judged_by)
