"""report.json: what an evaluation says of a policy. Written and read here and nowhere else; no key is spelled twice.

Numbers are percent, lengths in characters or tokens, as their names say. Scores by item lie in the store, in the file
that a suite names as `scores`: rows {item_id, score in [0, 1] or null, reason, subset, ...}. Whatever its kind, a suite
with such a file can be compared item by item.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Required, TypedDict

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import read_bytes, read_jsonl, write_json

REPORT_VERSION = 1
"""Raised when a reader of the version before would misread a report. Every report on disk has version 1 or none."""
EXPECTED = "report.json of a run, or what `rlp-bench eval --json` printed"
Manifest = Mapping[str, Any]
"""A judge's own account of all that can change a verdict; its name and version are always there."""


class JudgeResult(TypedDict):
    """What another judge gives on the same answers."""

    judge: Manifest
    win_rate: float
    standard_error: float | None
    ci95: list[float]
    n_scored: int
    scores: str


class LengthControlled(TypedDict, total=False):
    """The win rate at equal lengths; None with a `reason` where it cannot be had."""

    win_rate: Required[float | None]
    n: Required[int]
    reason: str
    standard_error: float
    ci95: list[float]
    weights: dict[str, float]
    difficulty: str
    anchors: int


class DataHashes(TypedDict, total=False):
    """What was asked, compared with and answered: sha256 or fingerprint."""

    items: str
    references: str
    outputs: str


class ArtifactNames(TypedDict, total=False):
    """Folders of the store's `artifacts`."""

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
    """The first prompt whole, as the policy saw it."""

    text: Required[str]
    sha256: Required[str]
    n_shots: int
    tokens: int
    place: str


class SuiteReport(TypedDict, total=False):
    """One suite. Keys of one kind alone are in that kind's own type, in `rlp_bench.evaluation.kinds`."""

    alias: str
    """What it is called in tables."""
    suite: str
    suite_version: str
    kind: str
    metric: str
    headline: str
    """The key of the number that tables show; absent: `win_rate` or, where there is none, `accuracy`."""
    win_rate: float
    accuracy: float | None
    standard_error: float | None
    ci95: list[float]
    n: int
    n_items: int
    n_scored: int
    coverage: dict[str, int]
    """Items by what became of them."""
    order: str
    judge: Manifest
    protocol: str
    evidence: str
    """What keeps it from being evidence of its own; begins with "subset" where its items lie in another suite."""
    reason: str
    """Why there is no number."""
    data: DataHashes
    artifacts: ArtifactNames
    scores: str
    """The file of scores by item, from the store's root."""
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
    generator: list[str]
    """Who made the answers, where a file of them says."""


class KL(TypedDict, total=False):
    """KL(policy || SFT), nats a response."""

    mean: Required[float | None]
    se: Required[float | None]
    estimator: Required[str]
    n: int


class Agreement(TypedDict, total=False):
    """How often a reward model orders pairs as the judge does (pool), and as gold does; fractions."""

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
    """Those before it, where it is the last."""


class Provenance(TypedDict, total=False):
    """Where a run's policy comes from."""

    kind: str
    """"rerun": measured here."""
    policy: str
    stages: dict[str, str]
    decoding: Mapping[str, Any]
    annotator: Mapping[str, Any]
    trained_on_judge: bool


class Source(TypedDict, total=False):
    """What was evaluated that is no run of a recipe under its own settings."""

    run: str
    policy: str
    outputs: str
    endpoint: Mapping[str, Any]
    fingerprint: str
    sha256: str


class Report(TypedDict, total=False):
    """One policy. The report of a run has all keys but `source`; `rlp-bench eval` gives `suites` and what it knows."""

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
    """Stages that stand in for what their name says."""
    source: Source
    control: bool
    """Whether the method is a control; told to the leaderboard, never stored."""


def write_report(path: Path, report: Report) -> None:
    """Writes it whole or not at all: equal reports are equal bytes."""
    partial = path.with_name(f".{path.name}")
    write_json(partial, report)
    partial.replace(path)


def read_report(path: Path) -> Report:
    """A run's report.json, or what `rlp-bench eval --json` printed (of one suite, the suite alone).

    Raises:
        DataError: it is not there, no JSON, newer than this rlp-bench, or a suite is not what a suite should be.
    """
    data = read_bytes(path)
    try:
        found = json.loads(data)
    except ValueError:
        raise DataError(
            f'"{path}": is not JSON, or cut off; expected {EXPECTED}; `rlp-bench run` again writes it anew'
        ) from None
    if isinstance(found, dict) and "alias" in found:
        found = {"suites": [found]}
    if not isinstance(found, dict):
        raise DataError(f'"{path}": is no JSON object; expected {EXPECTED}')
    version = found.get("report_version", 1)
    if type(version) is not int or version < 1:
        raise DataError(f'"{path}": report_version {version!r} is no version; expected {EXPECTED}')
    if version > REPORT_VERSION:
        raise DataError(
            f'"{path}": is a report of version {version}, this rlp-bench knows up to {REPORT_VERSION}: '
            "upgrade rlp-bench"
        )
    suites = found.get("suites")
    if not isinstance(suites, list) or not all(isinstance(suite, dict) and _fits(suite) for suite in suites):
        raise DataError(f'"{path}": has no suites; expected {EXPECTED}')
    report: Report = found  # type: ignore[assignment]
    return report


def _fits(suite: Mapping[str, Any]) -> bool:
    """Names are text; what is read further is an object, or absent."""
    texts, objects = ("alias", "suite", "kind"), ("judge", "data", "coverage", "artifacts", "subsets")
    return all(isinstance(suite.get(key), str) for key in texts) and all(
        isinstance(suite.get(key) or {}, dict) for key in objects
    )


def suite_name(suite: SuiteReport) -> str:
    """What a suite is called in tables."""
    return str(suite.get("alias") or suite["suite"])


def suite_of(report: Report, alias: str) -> SuiteReport | None:
    """The suite of a report that is called so."""
    return next((suite for suite in report["suites"] if suite_name(suite) == alias), None)


def is_subset(suite: SuiteReport) -> bool:
    """Whether its items lie in another suite: shown, never independent evidence."""
    return str(suite.get("evidence") or "").startswith("subset")


def headline_key(suite: SuiteReport) -> str:
    """The key of the number that tables show."""
    return suite.get("headline") or ("win_rate" if "win_rate" in suite else "accuracy")


def headline(suite: SuiteReport) -> float | None:
    """The number that tables show, percent; None where the suite has none."""
    known: Mapping[str, Any] = suite
    value = known.get(headline_key(suite))
    return None if value is None else float(value)


def item_scores(
    root: Path, suite: SuiteReport, judge: str | None = None, subset: str | None = None
) -> dict[str, float]:
    """Item id -> score in [0, 1] of the items that have one.

    Args:
        root: of the store.
        judge: a second judge's scores instead of the recipe's own.
        subset: only the items of one. A suite computed from a larger one's verdicts holds its own subsets only.
    """
    path = suite["second_judges"][judge]["scores"] if judge else suite["scores"]
    inside = {subset} if subset else set(suite["subsets"]) if is_subset(suite) else None
    return {
        row["item_id"]: row["score"]
        for row in read_jsonl(root / path)
        if row["score"] is not None and (inside is None or row["subset"] in inside)
    }
