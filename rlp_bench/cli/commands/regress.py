"""`baseline accept`, `baseline show` and `regress`."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.display import pairs, print_json, show, table
from rlp_bench.regression.baseline import read_baseline, write_baseline
from rlp_bench.regression.history import default_history, earlier_attempts, record_attempt, told
from rlp_bench.regression.junit import junit_xml
from rlp_bench.regression.outcome import attempt_of, failed, result_of
from rlp_bench.regression.render import render_markdown, render_text
from rlp_bench.regression.rule import Outcome, judge_candidate, margin_of, read_margins
from rlp_bench.regression.snapshot import Snapshot, choose, take_snapshot
from rlp_bench.store.store import Store


def accept_command(
    run: str | None, report: Path | None, reason: str, out: Path | None, root: Path, as_json: bool
) -> None:
    """Writes a baseline, by default baselines/RUN.jsonl."""
    snapshot = take_snapshot(Store(root), run, report)
    path = out or Path("baselines") / f"{_file_name(snapshot)}.jsonl"
    digest = write_baseline(path, snapshot, reason)
    kept = {alias: suite for alias, suite in snapshot.suites.items() if suite.scored}
    if as_json:
        print_json(
            {"baseline": str(path), "sha256": digest, "suites": {a: len(s.scores) for a, s in kept.items()}}
        )
        return
    rows = {
        "baseline": path,
        "size": f"{path.stat().st_size / 1e3:.0f} kB",
        "sha256": digest,
        "reason": reason.strip(),
    }
    left = [alias for alias in snapshot.suites if alias not in kept]
    if left:
        rows["without scores"] = ", ".join(left)
    show(_suites_table(snapshot), pairs("Accepted", rows))


def _file_name(snapshot: Snapshot) -> str:
    origin = snapshot.origin
    if origin.get("method") is None:
        return re.sub(r"[^\w.-]", "-", Path(snapshot.name).stem)
    name = str(origin["recipe"]).partition("@")[0]
    return f"{name}-{origin['method']}-s{origin['seed']}"


def show_command(path: Path, as_json: bool) -> None:
    """What a baseline holds."""
    snapshot, about = read_baseline(path)
    if as_json:
        suites = [dict(suite.facts) for suite in snapshot.suites.values()]
        print_json({**about, "origin": dict(snapshot.origin), "suites": suites})
        return
    origin = {key: value for key, value in snapshot.origin.items() if value not in (None, {})}
    show(_suites_table(snapshot), pairs("Baseline", {**about, **origin}))


def _suites_table(snapshot: Snapshot) -> Any:
    rows = []
    for alias, suite in snapshot.suites.items():
        scores = list(suite.scored.values())
        if not scores:
            continue
        margin = margin_of(alias, suite, {})
        facts = suite.facts
        rows.append(
            (
                alias,
                f"{facts['suite']} {facts.get('suite_version', '')}",
                facts.get("metric", ""),
                len(suite.scores),
                f"{100 * sum(scores) / len(scores):.1f}",
                suite.unscored,
                facts.get("order", ""),
                (facts.get("judge") or {}).get("name", ""),
                str(facts.get("judge_sha256", ""))[:8],
                "reported" if margin is None else f"margin {margin:g}",
            )
        )
    columns = ["suite", "is", "metric", ">items", ">percent", ">no score", "order", "judge", "sha256", "gate"]
    return table("Suites", columns, rows)


@dataclass(frozen=True)
class Asked:
    """What `regress` was told."""

    baseline: Path
    run: str | None
    report: Path | None
    suites: Sequence[str]
    margins: Sequence[str]
    exact: bool
    strict: bool
    junit: Path | None
    summary: Path | None
    history: Path | None


def regress_command(asked: Asked, root: Path, as_json: bool) -> int:
    """The exit status. Every attempt goes to the history, also one whose candidate cannot be read.

    Raises:
        BenchError: a mistake of the person's, or verdict "error", after all was written.
    """
    whole, about = read_baseline(asked.baseline)
    for alias in asked.suites:
        if alias not in whole.suites:
            raise UnknownName(
                f'--suite "{alias}": no such suite in the baseline; {nearest(alias, whole.suites)}'
            )
    baseline = choose(whole, asked.suites)
    margins = read_margins(asked.margins, baseline)
    if margins and asked.exact:
        raise BenchError("--exact and --margin were given; with --exact every item must be as it was")
    history = asked.history or default_history(asked.baseline)
    earlier = earlier_attempts(history, about["sha256"])
    candidate: Snapshot | None = None
    try:
        candidate = choose(take_snapshot(Store(root), asked.run, asked.report), asked.suites)
        outcome = judge_candidate(baseline, candidate, margins, exact=asked.exact, strict=asked.strict)
    except BenchError as error:
        outcome = failed(str(error), asked.strict)
    result = {**result_of(outcome, baseline, about, candidate, earlier), "history": str(history)}
    record_attempt(history, attempt_of(result))
    _write(result, told(earlier), asked, as_json)
    return _status(outcome)


def _write(result: Mapping[str, Any], attempts: str, asked: Asked, as_json: bool) -> None:
    """All forms of the result."""
    if asked.junit is not None:
        _save(asked.junit, junit_xml(result), "--junit")
    markdown = render_markdown(result, attempts).encode("utf-8", "replace")
    if asked.summary is not None:
        _save(asked.summary, markdown, "--summary")
    elif os.environ.get("GITHUB_STEP_SUMMARY"):
        _save(Path(os.environ["GITHUB_STEP_SUMMARY"]), markdown, "GITHUB_STEP_SUMMARY", append=True)
    if as_json:
        print_json(result)
    else:
        show(*render_text(result, attempts), pairs("", {"history": result["history"]}))


def _save(path: Path, data: bytes, option: str, append: bool = False) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if append else "wb") as out:
            out.write(data)
    except OSError as error:
        raise BenchError(
            f'{option} "{path}": cannot be written ({error.strerror}); give another file'
        ) from None


def _status(outcome: Outcome) -> int:
    if outcome.verdict == "error":
        raise BenchError("\n".join(outcome.reasons))
    return outcome.status
