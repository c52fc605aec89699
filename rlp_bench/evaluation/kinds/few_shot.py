"""Kind "few_shot": few-shot questions. Micro and macro average, groups, and coverage.

Prompts and answers: `rlp_bench.evaluation.few_shot`.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import read_jsonl
from rlp_bench.api.protocols import FewShotEngine, FewShotSuite, Suite
from rlp_bench.api.report import FirstPrompt, GroupResult, SuiteReport, suite_name
from rlp_bench.api.types import Decoding, Prompting, Question
from rlp_bench.evaluation.few_shot import ESTIMATED, ask, fit_prompts, greedy
from rlp_bench.evaluation.kinds.kind import Asking, Kind, Prompts, Section, accuracy, header, with_error
from rlp_bench.statistics import estimate_mean
from rlp_bench.store.store import fingerprint

Rows = Sequence[Mapping[str, Any]]
INCOMPLETE = 0.01
"""Fraction of questions without a score above which the report warns."""


class Average(TypedDict):
    """A mean with its standard error in percent, and the kind of average."""

    accuracy: float
    standard_error: float | None
    average: str


class PromptsAsked(TypedDict, total=False):
    """The first prompt, and counts over all prompts."""

    first_prompt: FirstPrompt
    prompts: str
    """Hash of all prompts."""
    n_shots: dict[str, int]
    """Number of examples -> number of prompts."""
    bos_tokens: dict[str, int]


class FewShotReport(SuiteReport, total=False):
    """Keys that this kind adds to a suite's report."""

    average: str
    macro_average: Average
    subjects: dict[str, GroupResult]
    scoring: str
    """A sentence that describes the protocol."""
    prompts: str
    n_shots: dict[str, int]
    bos_tokens: dict[str, int]
    tokens_counted: str
    model: str


def few_shot_report(
    asking: Asking, alias: str, suite: FewShotSuite, items: Sequence[Question]
) -> FewShotReport:
    """Accuracy with its error, overall and by subject and category.

    Raises:
        DataError: no question has a score.
    """
    sealed = ask(
        asking.store, asking.engine, asking.engine_name, asking.policy, asking.checkpoint, suite, items, asking.progress
    )  # fmt: skip
    rows = list(read_jsonl(sealed.path / "scores.jsonl"))
    scored = [row["score"] for row in rows if row["score"] is not None]
    if not scored:
        raise DataError(
            f'suite "{suite.title}": none of {len(rows)} questions could be asked ({rows[0]["reason"]}); the policy\'s '
            "context is too short for them, or the endpoint refuses them"
        )
    identity = fingerprint(sorted([item.id, item.answer] for item in items))
    report: FewShotReport = {
        **header(suite, "few_shot", suite.metric, sealed, identity),
        **accuracy(scored),
        "n_items": len(rows),
        "average": "micro: over questions",
        "macro_average": macro_average(rows),
        "subjects": groups(rows, "subject"),
        "categories": groups(rows, "category"),
        "protocol": suite.protocol,
        "scoring": suite.scoring,
        "coverage": coverage(rows),
        **prompts_of(suite, items, rows),
        "tokens_counted": "by the policy's tokenizer"
        if isinstance(asking.engine, FewShotEngine)
        else ESTIMATED,
        "model": asking.model,
    }
    report["warnings"] = [*suite.warnings, *warnings(report)]
    return report


def macro_average(rows: Rows) -> Average:
    """The unweighted mean of the subjects' accuracies, with the error from theirs, in percent."""
    found = [group for group in groups(rows, "subject").values() if group["n"]]
    errors = [group["standard_error"] for group in found]
    known = [error for error in errors if error is not None]
    whole = math.sqrt(sum(error**2 for error in known)) / len(found) if len(known) == len(errors) else None
    return {
        "accuracy": sum(group["accuracy"] or 0.0 for group in found) / len(found),
        "standard_error": whole,
        "average": f"macro: over {len(found)} subjects",
    }


def groups(rows: Rows, key: str) -> dict[str, GroupResult]:
    """Accuracy, error and interval in percent, and n, by group."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row[key], [])
        if row["score"] is not None:
            scores[row[key]].append(row["score"])
    return {name: _group(found) for name, found in sorted(scores.items())}


def _group(scores: Sequence[float]) -> GroupResult:
    if not scores:
        return {"accuracy": None, "standard_error": None, "ci95": None, "n": 0}
    e = estimate_mean(scores)
    error = 100 * e.se if e.n > 1 else None
    return {"accuracy": 100 * e.mean, "standard_error": error, "ci95": [100 * e.low, 100 * e.high], "n": e.n}


def coverage(rows: Rows) -> dict[str, int]:
    """Questions by outcome; the first four add up to all. `unparsed` counts as wrong, `failed` and `too_long` have no
    score; `cut` prompts were truncated on the left.
    """
    counts = {"answered": 0, "unparsed": 0, "failed": 0, "too_long": 0}
    for row in rows:
        counts[row["reason"].partition(":")[0] or "answered"] += 1
    return {**counts, "cut": sum(bool(row.get("cut_tokens")) for row in rows)}


def prompts_of(suite: FewShotSuite, items: Sequence[Question], rows: Rows) -> PromptsAsked:
    """The first prompt in full, a hash of all prompts, and counts of examples and BOS tokens."""
    first = suite.prompt(items[0], rows[0]["n_shots"])
    return {
        "first_prompt": {
            "text": first,
            "sha256": hashlib.sha256(first.encode("utf-8", "surrogatepass")).hexdigest(),
            "n_shots": rows[0]["n_shots"],
            "tokens": rows[0]["prompt_tokens"],
            "place": items[0].place,
        },
        "prompts": fingerprint([row["prompt"] for row in rows]),
        "n_shots": _counts(row["n_shots"] for row in rows),
        "bos_tokens": _counts(row["bos_tokens"] for row in rows),
    }


def _counts(values: Any) -> dict[str, int]:
    """Count of each value, in descending order of value; "none" if unknown."""
    found = Counter(values)
    order = sorted(found, key=lambda value: -1 if value is None else value, reverse=True)
    return {"none" if value is None else str(value): found[value] for value in order}


def warnings(report: FewShotReport) -> list[str]:
    """Warnings about the validity of the accuracy."""
    found, n, counts = [], report["n_items"], report["coverage"]
    if counts["unparsed"]:
        found.append(
            f"{counts['unparsed']} of {n} answers begin with no letter of an option; this protocol counts them as wrong"
        )
    lost = counts["failed"] + counts["too_long"]
    if lost:
        found.append(
            f"{lost} of {n} questions have no score ({counts['failed']} failed, {counts['too_long']} too long for the "
            f"policy's context){'; more than 1 %' if lost > INCOMPLETE * n else ''}"
        )
    if counts["cut"]:
        found.append(f"{counts['cut']} of {n} prompts did not fit the context and were cut at their left")
    if set(report["bos_tokens"]) - {"1", "none"} and not counts["cut"]:
        found.append(f"not every prompt has exactly one BOS: {report['bos_tokens']}")
    return found


def protocol(report: SuiteReport) -> str:
    """The protocol, for the last cell of the suite's line in the summary."""
    return str(report.get("protocol"))


def by_category(report: SuiteReport) -> Iterable[Section]:
    """A table of the categories and both averages."""
    found = cast(FewShotReport, report)
    macro = found["macro_average"]
    rows: list[tuple[str, ...]] = [
        (name, with_error(group["accuracy"] or 0.0, group["standard_error"]), str(group["n"]))
        for name, group in found["categories"].items()
        if group["n"]
    ]
    rows.append(
        (found["average"], with_error(found["accuracy"] or 0.0, found["standard_error"]), str(found["n"]))
    )
    rows.append((macro["average"], with_error(macro["accuracy"], macro["standard_error"]), ""))
    yield f"{suite_name(report)}: accuracy by category", rows


def writes(suite: Suite) -> bool:
    """Whether answers are generated; otherwise the most likely choice is taken."""
    return getattr(suite, "asks", "") == "text"


def prompts_asked(
    engine: Any, suite: Any, items: Sequence[Question], prompting: Prompting, decoding: Decoding, seed: int
) -> Prompts:
    """The suite's own prompts with as many examples as fit, and greedy decoding."""
    asked = fit_prompts(engine, Path(), suite, items)
    return Prompts([one.prompt for one in asked], greedy(suite), 0)


FEW_SHOT = Kind(
    "few_shot",
    "accuracy",
    few_shot_report,
    judged_by=protocol,
    groups=by_category,
    by_writing=writes,
    prompts=prompts_asked,
)
