"""Snapshots for the gate: one policy's per-item scores on every suite, and the facts that must match."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError, DataError, UnknownName
from rlp_bench.api.files import read_jsonl
from rlp_bench.api.report import EXPECTED, Report, SuiteReport, is_subset, read_report
from rlp_bench.api.rows import read_rows
from rlp_bench.run.provenance import versions
from rlp_bench.run.records import REPORT, find_run, read_record, run_folders
from rlp_bench.store.store import Store, fingerprint

AS_STORED = "as stored"
"""The `order` of verdicts replayed from a file."""
OF_THE_FILE = {"sha256", "rows"}
"""Manifest keys of such a judge that identify the verdicts file, which differs between policies, not the annotators."""
KEPT = (
    "alias",
    "suite",
    "suite_version",
    "kind",
    "metric",
    "order",
    "judge",
    "protocol",
    "evidence",
    "coverage",
    "n_items",
    "n_scored",
    "position_gap",
)


@dataclass(frozen=True)
class Suite:
    """One suite of a snapshot."""

    facts: Mapping[str, Any]
    """Facts from the report (`KEPT`), hashes of data and judge, length unit; `reason` if there are no scores."""
    scores: Mapping[str, float | None]
    """Item id -> score in [0, 1]; None where the item has none."""
    lengths: Mapping[str, int]
    """Item id -> length of the output in `facts["length_unit"]`; empty for suites without generated outputs."""

    @property
    def scored(self) -> dict[str, float]:
        """The scores of the items that have one."""
        return {item: score for item, score in self.scores.items() if score is not None}

    @property
    def is_subset(self) -> bool:
        """Whether its items are part of another suite: shown, but not independent evidence."""
        return str(self.facts.get("evidence") or "").startswith("subset")

    @property
    def unparsed(self) -> int:
        """Number of items whose verdict could not be parsed."""
        return int((self.facts.get("coverage") or {}).get("unparsed", 0))

    @property
    def unscored(self) -> int:
        """Number of items without a score, for any reason."""
        return sum(score is None for score in self.scores.values())


@dataclass(frozen=True)
class Snapshot:
    """A policy and its suites."""

    origin: Mapping[str, Any]
    """run or report, recipe, method, seed, policy, decoding, versions."""
    suites: Mapping[str, Suite]
    """By alias, in the report's order."""

    @property
    def name(self) -> str:
        """The name of the run or of the report file, for messages."""
        return str(self.origin.get("run") or self.origin.get("report"))


def take_snapshot(store: Store, run: str | None, report: Path | None) -> Snapshot:
    """The snapshot of a run (by default the newest) or of a report printed by `rlp-bench eval --json`.

    Raises:
        UnknownName: there is no such run, or no such file.
        BenchError: both are given, the run was not evaluated, or its scores are missing.
    """
    if run is not None and report is not None:
        raise BenchError("--run and --report were given; expected one of them")
    if report is not None:
        if not report.exists():
            raise UnknownName(f'--report "{report}": cannot be read, there is no such file; give another')
        return _of_report(store, report, {"report": report.name, "versions": versions()})
    record = find_run(store, run)
    path = record.path / REPORT
    if not path.exists():
        raise DataError(
            f'run "{record.path.name}": is not evaluated; evaluate it by `rlp-bench run --method {record.method}` '
            "without --no-eval"
        )
    origin = {"run": record.path.name, "versions": read_record(record.path).get("versions", {})}
    return _of_report(store, path, origin)


def newest_like(store: Store, origin: Mapping[str, Any]) -> str | None:
    """The folder of the newest finished run of a snapshot's method and recipe; None if the store has none."""
    wanted = (origin["recipe"], origin["method"])
    for folder in reversed(run_folders(store)):
        record = read_record(folder)
        if record["status"] == "done" and (record["recipe_id"], record["method"]) == wanted:
            return str(folder)
    return None


def _of_report(store: Store, path: Path, origin: Mapping[str, Any]) -> Snapshot:
    report = read_report(path)
    if not report["suites"]:
        raise DataError(f'"{path}": has no suites; expected {EXPECTED}')
    provenance, source = report.get("provenance") or {}, report.get("source") or {}
    known = {
        **origin,
        "recipe": report.get("recipe"),
        "method": report.get("method"),
        "seed": report.get("seed"),
        "policy": provenance.get("policy") or source.get("fingerprint") or _answers(report),
        "decoding": provenance.get("decoding"),
    }
    return Snapshot(known, {suite["alias"]: _suite(store, suite) for suite in report["suites"]})


def _answers(report: Report) -> str:
    """Identifier of a policy that is known only by its outputs: their hash."""
    return fingerprint([(suite.get("data") or {}).get("outputs") for suite in report["suites"]])


def _suite(store: Store, report: SuiteReport) -> Suite:
    known: Mapping[str, Any] = report
    facts = {key: known[key] for key in KEPT if known.get(key) is not None}
    if "scores" not in report:
        return Suite({**facts, "reason": str(report.get("reason") or "no scores")}, {}, {})
    data: Mapping[str, Any] = report.get("data") or {}
    facts["data"] = {key: data[key] for key in ("items", "references") if data.get(key)}
    if "judge" in facts:
        facts["judge_sha256"] = fingerprint(judge_identity(facts))
    scores = _scores(store, report)
    lengths, unit = _lengths(store, report, scores)
    return Suite({**facts, "length_unit": unit} if unit else facts, scores, lengths)


def judge_identity(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The judge's manifest: everything that can change a verdict.

    For replayed verdicts without the file's hash: the verdicts of two policies are in two files, whose `annotators`
    identify the judge.
    """
    judge = dict(facts.get("judge") or {})
    if facts.get("order") == AS_STORED:
        judge = {key: value for key, value in judge.items() if key not in OF_THE_FILE}
    return judge


def _scores(store: Store, report: SuiteReport) -> dict[str, float | None]:
    """Item id -> score. A suite that is part of a larger one has only its own subsets."""
    path = store.root / str(report["scores"])
    if not path.is_file():
        raise DataError(
            f'suite "{report["alias"]}": "{path}" is missing; give the --store that it was evaluated in'
        )
    store.file(str(report["scores"]))
    inside = set(report.get("subsets") or ()) if is_subset(report) else None
    found: dict[str, float | None] = {}
    for number, row in enumerate(read_jsonl(path), 1):
        if inside is not None and row.get("subset") not in inside:
            continue
        item, score = row.get("item_id"), row.get("score")
        if not isinstance(item, str) or item in found or not _is_score(score):
            raise DataError(f"{path}:{number}: expected an item once, with a score in [0, 1] or null")
        found[item] = score
    return found


def _is_score(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and 0 <= value <= 1)


def _lengths(
    store: Store, report: SuiteReport, items: Mapping[str, Any]
) -> tuple[dict[str, int], str | None]:
    """(item id -> output length, unit): tokens if all are known, else characters; ({}, None) without outputs."""
    name = (report.get("artifacts") or {}).get("outputs")
    path = store.artifacts / str(name) / "outputs.json"
    if name is None or not path.is_file():
        return {}, None
    store.file(f"artifacts/{name}/outputs.json")
    rows = [row for row in read_rows(path, "a list of answers") if row.get("item_id") in items]
    if all(isinstance(row.get("tokens"), int) for row in rows):
        return {row["item_id"]: row["tokens"] for row in rows}, "tokens"
    return {row["item_id"]: len(row["output"]) for row in rows}, "characters"


def choose(snapshot: Snapshot, aliases: Sequence[str]) -> Snapshot:
    """The snapshot with only the named suites; all suites if none are named."""
    if not aliases:
        return snapshot
    return Snapshot(
        snapshot.origin, {alias: suite for alias, suite in snapshot.suites.items() if alias in aliases}
    )
