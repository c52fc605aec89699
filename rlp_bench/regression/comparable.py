"""Checks that two snapshots are comparable: same items, references, judge, order, suite version and metric."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlp_bench.regression.snapshot import AS_STORED, Snapshot, Suite, judge_identity

SAME = ("suite", "suite_version", "kind", "metric", "order", "protocol")
Named = dict[str, Any]
"""{"suite", "field", "baseline", "candidate"}."""


def differences(baseline: Snapshot, candidate: Snapshot) -> list[Named]:
    """The fields that must be equal but differ; if empty, the snapshots are comparable.

    A suite that only the candidate has is no difference. A candidate may change recipe, method, seed, decoding and
    package versions; `changed` lists those.
    """
    return [
        {"suite": alias, "field": field, "baseline": old, "candidate": new}
        for alias, suite in baseline.suites.items()
        for field, old, new in _between(suite, candidate.suites.get(alias))
    ]


def _between(baseline: Suite, candidate: Suite | None) -> Iterator[tuple[str, Any, Any]]:
    if candidate is None:
        yield "suite", baseline.facts["suite"], "not evaluated"
        return
    if not candidate.scores:
        yield "scores", len(baseline.scores), f"none: {candidate.facts.get('reason', 'an empty file')}"
        return
    old, new = baseline.facts, candidate.facts
    for field in SAME:
        if old.get(field) != new.get(field):
            yield field, old.get(field), new.get(field)
    yield from _differing("judge", judge_identity(old), judge_identity(new))
    if old.get("order") == new.get("order") == AS_STORED and not judge_identity(old).get("annotators"):
        yield "judge.annotators", "the verdicts file does not name its annotators", "unknown"
    before = list(_differing("data", old.get("data") or {}, new.get("data") or {}))
    yield from before
    if not before and set(baseline.scores) != set(candidate.scores):
        extra, lost = (
            set(candidate.scores) - set(baseline.scores),
            set(baseline.scores) - set(candidate.scores),
        )
        yield "items", f"{len(lost)} only here", f"{len(extra)} only here"


def _differing(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(set(old) | set(new)):
        if old.get(key) != new.get(key):
            yield f"{name}.{key}", old.get(key), new.get(key)


def changed(baseline: Snapshot, candidate: Snapshot) -> list[Named]:
    """The fields that a candidate may change and did, where both values are known (an outputs file has no recipe)."""
    found = []
    for field in ("recipe", "method", "seed", "policy"):
        old, new = baseline.origin.get(field), candidate.origin.get(field)
        if old != new and None not in (old, new):
            found.append({"field": field, "baseline": old, "candidate": new})
    for group in ("decoding", "versions"):
        before, after = baseline.origin.get(group), candidate.origin.get(group)
        if before and after:
            pairs = _differing(group, before, after)
            found += [{"field": field, "baseline": old, "candidate": new} for field, old, new in pairs]
    return found
