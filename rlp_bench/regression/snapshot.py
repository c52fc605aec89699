"""What a gate compares: one policy's scores on every suite, item by item, with all that must be the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import read_jsonl, read_rows
from rlp_bench.api.report import EXPECTED, Report, SuiteReport, is_subset, read_report
from rlp_bench.run.provenance import versions
from rlp_bench.run.records import REPORT, find_run, read_record
from rlp_bench.store.store import Store, fingerprint

AS_STORED = "as stored"
"""The order of verdicts that were replayed from a file."""
OF_THE_FILE = {"sha256", "rows"}
"""Of such a judge's manifest: what names the file of verdicts and not who judged; every model has its own file."""
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
    """What the report says of it (`KEPT`), hashes of data and judge, unit of lengths. No scores: why (`reason`)."""
    scores: Mapping[str, float | None]
    """Item id -> score in [0, 1]; None where the item has none."""
    lengths: Mapping[str, int]
    """Item id -> length of the answer in `facts["length_unit"]`; empty where a suite asks for no answer."""

    @property
    def scored(self) -> dict[str, float]:
        """The items that have a score."""
        return {item: score for item, score in self.scores.items() if score is not None}

    @property
    def is_subset(self) -> bool:
        """Whether its items lie in another suite: shown, never independent evidence."""
        return str(self.facts.get("evidence") or "").startswith("subset")

    @property
    def unparsed(self) -> int:
        """Items whose verdict could not be read."""
        return int((self.facts.get("coverage") or {}).get("unparsed", 0))

    @property
    def unscored(self) -> int:
        """Items without a score, for whatever reason."""
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
        """For people: the run, or the report's file."""
        return str(self.origin.get("run") or self.origin.get("report"))


def take_snapshot(store: Store, run: str | None, report: Path | None) -> Snapshot:
    """Of a run (the newest, where neither is given), or of a report that `rlp-bench eval --json` printed.

    Raises:
        BenchError: both are given, there is no such run, it was not evaluated, or its scores are gone.
    """
    if run is not None and report is not None:
        raise BenchError("--run and --report were given; expected one of them")
    if report is not None:
        return _of_report(store, report, {"report": report.name, "versions": versions()})
    record = find_run(store, run)
    path = record.path / REPORT
    if not path.exists():
        raise DataError(
            f'run "{record.path.name}": is not evaluated; `rlp-bench run --method {record.method}` without '
            "--no-eval does it"
        )
    origin = {"run": record.path.name, "versions": read_record(record.path).get("versions", {})}
    return _of_report(store, path, origin)


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
    """What names a policy of which only answers are known: their hashes."""
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
    """The judge's manifest: all that can change a verdict.

    Of replayed verdicts the file's own hash is left out: two models' verdicts lie in two files, and who judged is
    what the files say (`annotators`).
    """
    judge = dict(facts.get("judge") or {})
    if facts.get("order") == AS_STORED:
        judge = {key: value for key, value in judge.items() if key not in OF_THE_FILE}
    return judge


def _scores(store: Store, report: SuiteReport) -> dict[str, float | None]:
    """Item id -> score. A suite computed from a larger one's verdicts holds its own subsets only."""
    path = store.root / str(report["scores"])
    if not path.is_file():
        raise DataError(
            f'suite "{report["alias"]}": "{path}" is not there; give the --store that it was evaluated in'
        )
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
    """Lengths of the answers in tokens where all are known, else in characters; none for other kinds of suite."""
    name = (report.get("artifacts") or {}).get("outputs")
    path = store.artifacts / str(name) / "outputs.json"
    if name is None or not path.is_file():
        return {}, None
    rows = [row for row in read_rows(path, "a list of answers") if row.get("item_id") in items]
    if all(isinstance(row.get("tokens"), int) for row in rows):
        return {row["item_id"]: row["tokens"] for row in rows}, "tokens"
    return {row["item_id"]: len(row["output"]) for row in rows}, "characters"


def choose(snapshot: Snapshot, aliases: Sequence[str]) -> Snapshot:
    """Only these suites, where any are named."""
    if not aliases:
        return snapshot
    return Snapshot(
        snapshot.origin, {alias: suite for alias, suite in snapshot.suites.items() if alias in aliases}
    )
