"""report.json, the evaluation result of a policy: its schema, and the only code that reads or writes it.

Rates are percent; lengths are in characters or tokens, as their names say. Per-item scores are in the store, in the
file named by a suite's `scores`: rows {item_id, score in [0, 1] or null, reason, subset, ...}. Suites of any kind with
such a file can be compared item by item.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Required

from typing_extensions import TypedDict  # typing's own cannot be checked by pydantic before Python 3.12

from rlp_bench.api.documents import NotJson, decode, fault_of, json_value, read_bytes
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import read_jsonl
from rlp_bench.api.seals import opened, write_sealed

REPORT_VERSION = 1
"""Incremented when an older reader would misread a report. Existing reports have version 1 or no version."""
EXPECTED = "report.json of a run, or what `rlp-bench eval --json` printed"
Manifest = Mapping[str, Any]
"""Everything about a judge that can change a verdict; always has its name and version."""


class JudgeResult(TypedDict):
    """The result of another judge on the same outputs."""

    judge: Manifest
    win_rate: float
    standard_error: float | None
    ci95: list[float]
    n_scored: int
    scores: str


class LengthControlled(TypedDict, total=False):
    """The length-controlled win rate; None with a `reason` where it cannot be computed."""

    win_rate: Required[float | None]
    n: Required[int]
    reason: str
    standard_error: float
    ci95: list[float]
    weights: dict[str, float]
    kind: str
    """"exact", "approximate" or "no difficulty"; see `length_control_kind`."""
    difficulty: str
    anchors: int
    error_unseen: float | None
    """Points by which an approximate rate is off for a model that it was not made from, beside `standard_error`."""


class DataHashes(TypedDict, total=False):
    """sha256 or fingerprint of the items, the reference answers and the outputs."""

    items: str
    references: str
    outputs: str


class ArtifactNames(TypedDict, total=False):
    """Folder names in the store's `artifacts`."""

    outputs: str
    verdicts: str


class GroupResult(TypedDict, total=False):
    """One subset, category or subject."""

    win_rate: float | None
    accuracy: float | None
    standard_error: float | None
    ci95: list[float] | None
    n: Required[int]


class FirstPrompt(TypedDict, total=False):
    """The complete first prompt, as the policy got it."""

    text: Required[str]
    sha256: Required[str]
    n_shots: int
    tokens: int
    place: str


class SuiteReport(TypedDict, total=False):
    """One suite. Keys that only one kind of suite has are in that kind's type, in `rlp_bench.evaluation.kinds`."""

    alias: str
    """Its name in tables."""
    suite: str
    suite_version: str
    kind: str
    metric: str
    headline: str
    """The key of the number shown in tables; absent: `win_rate` or, without one, `accuracy`."""
    win_rate: float
    accuracy: float | None
    standard_error: float | None
    ci95: list[float]
    n: int
    n_items: int
    n_scored: int
    coverage: dict[str, int]
    """Number of items by outcome."""
    order: str
    judge: Manifest
    protocol: str
    evidence: str
    """Why it is not independent evidence; starts with "subset" where its items are part of another suite."""
    reason: str
    """Why there is no number."""
    data: DataHashes
    artifacts: ArtifactNames
    scores: str
    """The file of per-item scores, relative to the store's root."""
    subsets: dict[str, GroupResult]
    categories: dict[str, GroupResult]
    position_gap: float | None
    mean_length_tokens: float | None
    finish_rate: float | None
    second_judges: dict[str, JudgeResult]
    controls: dict[str, JudgeResult]
    length_controlled: LengthControlled
    first_prompt: FirstPrompt
    warnings: list[str]
    left_out: list[dict[str, Any]]
    """As in `Report`, in the output of `rlp-bench eval --json`."""
    generator: list[str]
    """The models that generated the outputs, where the outputs file names them."""


class KL(TypedDict, total=False):
    """KL(policy || SFT), nats per response."""

    mean: Required[float | None]
    se: Required[float | None]
    estimator: Required[str]
    n: int


class Agreement(TypedDict, total=False):
    """Accuracy of a reward model on pairs, labeled by the judge (pool) and by the gold model; fractions."""

    n: Required[int]
    pool_accuracy: float | None
    pool_se: float | None
    pool_ties: int
    pool_missing: int
    gold_accuracy: float | None
    gold_se: float | None
    gold_n: int
    gold_ties: int
    gold_missing: int


class RewardModelReport(TypedDict, total=False):
    """One reward model of the run."""

    stage: Required[str]
    sft_pairs: Required[Agreement]
    policy_pairs: Required[Agreement]
    earlier: "list[RewardModelReport]"
    """The run's earlier reward models; only in the report of the last one."""


class Provenance(TypedDict, total=False):
    """Where a run's policy comes from."""

    kind: str
    """"rerun": measured by this package."""
    policy: str
    stages: dict[str, str]
    decoding: Mapping[str, Any]
    annotator: Mapping[str, Any]
    trained_on_judge: bool


class Source(TypedDict, total=False):
    """What was evaluated, where it is not a run under its recipe's settings."""

    run: str
    policy: str
    outputs: str
    endpoint: Mapping[str, Any]
    fingerprint: str
    sha256: str


class Report(TypedDict, total=False):
    """One policy. A run's report has all keys but `source`; that of `rlp-bench eval`, `suites` and what is known."""

    report_version: int
    store: str
    recipe: str
    method: str
    seed: int
    judge: Manifest
    order: str
    suites: Required[list[SuiteReport]]
    kl: KL
    reward_model: RewardModelReport | None
    length_tokens: float | None
    finish_rate: float | None
    controls: dict[str, dict[str, JudgeResult]]
    provenance: Provenance
    stand_ins: list[str]
    """Stages that are stand-ins for the method that they are named after."""
    source: Source
    settings: Mapping[str, Any]
    """{"prompting", "decoding"} of an evaluation without a recipe."""
    left_out: list[dict[str, Any]]
    """Rows of the given files that could not be used: {"path", "rows", "left_out": [{"row", "fault"}]}; if any."""
    control: bool
    """Whether the method is a control; passed to the leaderboard, never stored."""


def write_report(path: Path, report: Report) -> None:
    """Writes the report atomically, with its seal; equal reports give equal bytes."""
    write_sealed(path, report)


def read_report(path: Path) -> Report:
    """The report in a run's report.json or in the output of `rlp-bench eval --json` (for one suite: only the suite).

    Raises:
        DataError: the file is missing, not JSON, changed or newer than this rlp-bench, or a suite is malformed.
    """
    data = read_bytes(path)
    try:
        read = json_value(decode(path, data, EXPECTED))
    except NotJson:
        raise DataError(
            f'"{path}": is not JSON, or truncated; expected {EXPECTED}; `rlp-bench run` writes it again'
        ) from None
    if fault := fault_of(read):
        raise DataError(f'"{path}": {fault}; expected {EXPECTED}')
    found = opened(read, f'"{path}":', f"expected {EXPECTED}; `rlp-bench run` writes it again")
    if "alias" in found:
        found = {"suites": [found]}
    version = found.get("report_version", 1)
    if type(version) is not int or version < 1:
        raise DataError(f'"{path}": report_version {version!r} is not a version; expected {EXPECTED}')
    if version > REPORT_VERSION:
        raise DataError(
            f'"{path}": is a report of version {version}, this rlp-bench knows up to {REPORT_VERSION}: '
            "upgrade rlp-bench"
        )
    suites = found.get("suites")
    if not isinstance(suites, list) or not all(isinstance(suite, dict) and _fits(suite) for suite in suites):
        raise DataError(f'"{path}": has no suites; expected {EXPECTED}')
    fault = _fault(found)
    if fault:
        raise DataError(f'"{path}": {fault}; expected {EXPECTED}')
    report: Report = found  # type: ignore[assignment]
    return report


def _fault(found: Mapping[str, Any]) -> str:
    """The first value of another type than `Report` says, as text; empty if there is none. Other keys are free."""
    from pydantic import ValidationError  # slow to import, and most commands read no report

    try:
        _checker().validate_python(found, strict=True)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            if fault["type"] != "missing" and fault["input"] is not None:  # what is not known may be left out
                return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return ""


@cache
def _checker() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Report)


def _fits(suite: Mapping[str, Any]) -> bool:
    """Whether the names are text and the nested values are objects or absent."""
    texts, objects = ("alias", "suite", "kind"), ("judge", "data", "coverage", "artifacts", "subsets")
    return all(isinstance(suite.get(key), str) for key in texts) and all(
        isinstance(suite.get(key) or {}, dict) for key in objects
    )


def artifacts_of(report: Report) -> Iterator[str]:
    """Yields the folder names in the store's `artifacts` of the answers and verdicts that a report was made from."""
    for suite in report["suites"]:
        yield from (str(name) for name in (suite.get("artifacts") or {}).values())
        judges = [*(suite.get("second_judges") or {}).values(), *(suite.get("controls") or {}).values()]
        for scores in (suite.get("scores"), *(judge.get("scores") for judge in judges)):
            if scores and scores.startswith("artifacts/"):
                yield scores.split("/")[1]


def suite_name(suite: SuiteReport) -> str:
    """A suite's name in tables."""
    return str(suite.get("alias") or suite["suite"])


def suite_of(report: Report, alias: str) -> SuiteReport | None:
    """The suite of a report with this name in tables; None where there is none."""
    return next((suite for suite in report["suites"] if suite_name(suite) == alias), None)


def is_subset(suite: SuiteReport) -> bool:
    """Whether its items are part of another suite: shown, but not independent evidence."""
    return str(suite.get("evidence") or "").startswith("subset")


def length_control_kind(found: LengthControlled) -> str:
    """The kind of a length-controlled rate; of a report that lacks it, what its difficulties say of themselves."""
    label = found.get("difficulty", "none").partition(":")[0]
    return found.get("kind") or {"none": "no difficulty", "approximate": label}.get(label, "exact")


def headline_key(suite: SuiteReport) -> str:
    """The key of the number shown in tables."""
    return suite.get("headline") or ("win_rate" if "win_rate" in suite else "accuracy")


def headline(suite: SuiteReport) -> float | None:
    """The number shown in tables, percent; None where the suite has none."""
    known: Mapping[str, Any] = suite
    value = known.get(headline_key(suite))
    return None if value is None else float(value)


def item_scores(
    file: Callable[[str], Path], suite: SuiteReport, judge: str | None = None, subset: str | None = None
) -> dict[str, float]:
    """Item id -> score in [0, 1], for the items that have a score.

    Args:
        file: `Store.file`, which checks the artifact that a file belongs to.
        judge: name of a second judge, to return its scores instead of those of the recipe's judge.
        subset: only items of this subset. A suite that is part of a larger one returns only its own subsets.
    """
    path = suite["second_judges"][judge]["scores"] if judge else suite["scores"]
    inside = {subset} if subset else set(suite["subsets"]) if is_subset(suite) else None
    return {
        row["item_id"]: row["score"]
        for row in read_jsonl(file(path))
        if row["score"] is not None and (inside is None or row["subset"] in inside)
    }
