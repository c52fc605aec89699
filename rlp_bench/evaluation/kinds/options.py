"""Kind "options": multiple-choice questions, scored by the likelihood of every option."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api.files import read_jsonl, write_lines
from rlp_bench.api.protocols import Suite
from rlp_bench.api.report import GroupResult, SuiteReport
from rlp_bench.api.types import Question
from rlp_bench.evaluation.kinds.kind import Asking, Kind, accuracy, accuracy_by, header
from rlp_bench.store.store import fingerprint


class OptionsReport(SuiteReport, total=False):
    """Keys that this kind adds to a suite's report."""

    subjects: dict[str, GroupResult]
    model: str
    """Whether the policy was scored, or the inner policy that best-of-n samples from."""


def options_report(asking: Asking, alias: str, suite: Suite, items: Sequence[Question]) -> OptionsReport:
    """Accuracy of the most likely option."""
    asked_items = fingerprint(sorted(item.id for item in items))
    identity = {
        "step": "options",
        "version": 1,
        "policy": asking.policy.fingerprint,
        "suite": {"name": suite.name, "version": suite.version},
        "items": asked_items,
        "engine": asking.engine_name,
    }

    def build(folder: Path) -> Mapping[str, float]:
        asked = [[f" {option}" for option in item.options] for item in items]
        found = asking.engine.options(asking.checkpoint, [item.stem for item in items], asked)
        rows: list[dict[str, Any]] = [
            {
                "item_id": item.id,
                "subject": item.subject,
                "logprobs": list(given),
                "score": _hit(given, item.answer),
            }
            for item, given in zip(items, found, strict=True)
        ]
        write_lines(folder / "scores.jsonl", rows)
        return {"accuracy": sum(row["score"] for row in rows) / len(rows)}

    sealed = asking.store.make("verdicts", fingerprint(identity), build, identity)
    rows = list(read_jsonl(sealed.path / "scores.jsonl"))
    return {
        **header(suite, "options", "accuracy.likeliest_option", sealed, asked_items),
        **accuracy([row["score"] for row in rows]),
        "subjects": accuracy_by(rows, "subject"),
        "protocol": "0-shot, sum of log-probabilities of each option after the bare stem",
        "model": asking.model,
    }


def _hit(logprobs: Sequence[float], answer: int) -> float:
    """1 if the correct option is the most likely, 1/k if it is one of k that are equally likely, otherwise 0."""
    best = max(logprobs)
    likeliest = [i for i, value in enumerate(logprobs) if value == best]
    return float(answer in likeliest) / len(likeliest)


OPTIONS = Kind("options", "accuracy", options_report)
