"""One win-rate suite from items to report: outputs, verdicts, second judges and controls, each sealed."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api.files import read_jsonl
from rlp_bench.api.protocols import Judge, Progress, Suite
from rlp_bench.api.types import Artifact, Item
from rlp_bench.evaluation.length_report import length_controlled
from rlp_bench.evaluation.outputs import Outputs, item_hash, reference_hash
from rlp_bench.evaluation.resolve import load_judge
from rlp_bench.evaluation.verdicts import read_verdicts, seal_verdicts
from rlp_bench.evaluation.win_rate_report import percent, warnings, win_rate_report
from rlp_bench.statistics import estimate_mean
from rlp_bench.store.store import Store, hash_file

CONTROLS = ("longest", "constant")
"""Judges whose results must be known beside any other: the length baseline, and 50 % by construction."""
INDEPENDENT = "not independent evidence"


def evaluate_suite(
    store: Store,
    suite: Suite,
    items: Sequence[Item],
    outputs: Artifact,
    rows: Outputs,
    judge: Judge,
    order: str,
    progress: Progress,
    second: Sequence[str] = (),
    allow_missing: bool = False,
) -> dict[str, Any]:
    """The suite's report, second judges and controls included. Sealed verdicts are read, not made again."""

    def judged(judge: Judge, order: str) -> dict[str, Any]:
        verdicts = seal_verdicts(store, items, outputs, rows, judge, order, progress)
        given = read_verdicts(verdicts)
        report = win_rate_report(items, rows, given, judge.manifest(), allow_missing=allow_missing)
        return _finish(report, suite, items, outputs, verdicts, order)

    report = judged(judge, order)
    report["length_controlled"] = _controlled(store, suite, items, rows, report)
    report["second_judges"] = {name: _short(judged(load_judge(name), order)) for name in second}
    report["controls"] = {name: _short(judged(load_judge(name), "both")) for name in CONTROLS}
    return report


def restrict(
    report: Mapping[str, Any],
    suite: Suite,
    items: Sequence[Item],
    store: Store,
    outputs: Artifact,
    rows: Outputs,
    inside: str,
) -> dict[str, Any]:
    """The report of a suite whose items all lie in one already judged: from the same outputs and verdicts.

    What has no verdict was refused, or allowed, with the whole.
    """
    ids = {item.id for item in items}
    verdicts = _open_verdicts(store, report)
    mine = [row for row in read_verdicts(verdicts) if row["item_id"] in ids]
    found = win_rate_report(items, rows, mine, report["judge"], allow_missing=True)
    found = _finish(found, suite, items, outputs, verdicts, report["order"])
    scores = [row for row in read_jsonl(store.root / found["scores"]) if row["item_id"] in ids]
    found["length_controlled"] = length_controlled(suite, items, rows, scores)
    for group in ("second_judges", "controls"):
        found[group] = {
            name: {**other, **_within(store, other, ids)} for name, other in report[group].items()
        }
    found["evidence"] = f"subset of {inside}: {INDEPENDENT}"
    return found


def _finish(
    report: dict[str, Any],
    suite: Suite,
    items: Sequence[Item],
    outputs: Artifact,
    verdicts: Artifact,
    order: str,
) -> dict[str, Any]:
    answers = outputs.path / "outputs.json"
    return {
        "suite": suite.name,
        "suite_version": suite.version,
        "order": order,
        **report,
        "data": {
            "items": item_hash(items),
            "references": reference_hash(items),
            "outputs": hash_file(answers),
        },
        "artifacts": {"outputs": outputs.path.name, "verdicts": verdicts.path.name},
        "scores": f"artifacts/{verdicts.path.name}/scores.jsonl",
        "warnings": warnings(report),
    }


def _controlled(
    store: Store, suite: Suite, items: Sequence[Item], rows: Outputs, report: Mapping[str, Any]
) -> dict[str, Any]:
    return length_controlled(suite, items, rows, list(read_jsonl(store.root / report["scores"])))


def _within(store: Store, report: Mapping[str, Any], ids: set[str]) -> dict[str, Any]:
    """Another judge's win rate on some of the items, from its sealed scores."""
    rows = read_jsonl(store.root / report["scores"])
    scores = [row["score"] for row in rows if row["item_id"] in ids and row["score"] is not None]
    return {**percent(estimate_mean(scores)), "n_scored": len(scores)}


def _open_verdicts(store: Store, report: Mapping[str, Any]) -> Artifact:
    return store.open(store.root / "artifacts" / report["artifacts"]["verdicts"])


def _short(report: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("judge", "win_rate", "standard_error", "ci95", "n_scored")
    return {key: report[key] for key in keys} | {"scores": report["scores"]}
