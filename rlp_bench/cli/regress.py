"""`rlp-bench baseline accept`, `baseline show` and `regress`: compares a run with an accepted baseline."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.api.files import write_atomic
from rlp_bench.cli.options import STORE, Json, RunName, StoreFolder, SuiteAliases
from rlp_bench.display import pairs, print_json, show, table

if TYPE_CHECKING:
    from rlp_bench.regression.snapshot import Snapshot
    from rlp_bench.store.store import Store

NO_ATTEMPT = "no attempt: nothing was compared"

Report = Annotated[
    Path | None, typer.Option("--report", help="Instead of a run: a file with the output of `eval --json`.")
]


def accept(
    reason: Annotated[str, typer.Option("--reason", help="Why these scores are accepted.")],
    run: RunName = None,
    report: Report = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Default: baselines/RECIPE-METHOD-sSEED.jsonl; .gz compresses it."),
    ] = None,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Accept a run's per-item scores as the baseline of later runs; commit the file."""
    from rlp_bench.regression.baseline import write_baseline
    from rlp_bench.regression.snapshot import take_snapshot
    from rlp_bench.store.store import Store

    snapshot = take_snapshot(Store(store), run, report)
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


def _file_name(snapshot: "Snapshot") -> str:
    origin = snapshot.origin
    if origin.get("method") is None:
        return re.sub(r"[^\w.-]", "-", Path(snapshot.name).stem)
    name = str(origin["recipe"]).partition("@")[0]
    return f"{name}-{origin['method']}-s{origin['seed']}"


def show_baseline(
    file: Annotated[Path, typer.Argument(help="A baseline's file.")],
    as_json: Json = False,
) -> None:
    """Show a baseline: suites, judge, order, versions, and the reason it was accepted."""
    from rlp_bench.regression.baseline import read_baseline

    snapshot, about = read_baseline(file)
    if as_json:
        suites = [dict(suite.facts) for suite in snapshot.suites.values()]
        print_json({**about, "origin": dict(snapshot.origin), "suites": suites})
        return
    origin = {key: value for key, value in snapshot.origin.items() if value not in (None, {})}
    show(_suites_table(snapshot), pairs("Baseline", {**about, **origin}))


def _suites_table(snapshot: "Snapshot") -> Any:
    from rlp_bench.regression.rule import margin_of

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
                str(facts.get("judge_sha256", ""))[:16],
                "reported" if margin is None else f"margin {margin:g}",
            )
        )
    columns = ["suite", "is", "metric", ">items", ">percent", ">no score", "order", "judge", "sha256", "gate"]
    return table("Suites", columns, rows)


Margins = Annotated[
    list[str] | None,
    typer.Option(
        "--margin",
        help="SUITE=POINTS: allowed loss; default: 3 for suites with at least 300 items; repeatable.",
    ),
]
Exact = Annotated[
    bool, typer.Option("--exact", help="No statistics: any changed item score is a regression.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Inconclusive is exit status 4, not 0.")]
JUnit = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")]
Summary = Annotated[
    Path | None,
    typer.Option("--summary", help="Write Markdown here; default: appended to $GITHUB_STEP_SUMMARY."),
]
History = Annotated[
    Path | None, typer.Option("--history", help="Append the attempt here; default: BASELINE.history.jsonl.")
]


def regress(
    baseline: Annotated[Path, typer.Option("--baseline", help="A file written by `baseline accept`.")],
    run: RunName = None,
    report: Report = None,
    suites: SuiteAliases = None,
    margins: Margins = None,
    exact: Exact = False,
    strict: Strict = False,
    junit: JUnit = None,
    summary: Summary = None,
    history: History = None,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Test whether a run is worse than a baseline. Exit status 0 pass, 1 regression, 2 error, 3 incomparable.

    Without --run or --report, the newest run of the baseline's method and recipe is tested.
    """
    from rlp_bench.regression.baseline import read_baseline
    from rlp_bench.regression.history import (
        attempt_summary,
        default_history,
        earlier_attempts,
        record_attempt,
    )
    from rlp_bench.regression.outcome import attempt_of, failed, no_candidate, result_of
    from rlp_bench.regression.rule import judge_candidate, read_margins
    from rlp_bench.regression.snapshot import Snapshot, choose, take_snapshot
    from rlp_bench.store.store import Store

    whole, about = read_baseline(baseline)
    _check_suites(whole, suites or [])
    accepted = choose(whole, suites or [])
    allowed = read_margins(margins or [], accepted)
    if allowed and exact:
        raise BenchError("--exact and --margin were given; expected one of them, as --exact allows no change")
    history = history or default_history(baseline)
    earlier = earlier_attempts(history, about["sha256"])
    opened = Store(store)
    named = run if run or report else _newest(opened, whole)
    attempted = bool(named or report)
    candidate: Snapshot | None = None
    try:
        if attempted:
            candidate = choose(take_snapshot(opened, named, report), suites or [])
            outcome = judge_candidate(accepted, candidate, allowed, exact=exact, strict=strict)
        else:
            outcome = no_candidate(whole, strict)
    except UnknownName:  # a mistyped name is not an attempt
        raise
    except BenchError as error:  # also recorded in the history
        outcome = failed(str(error), strict)
    result = result_of(outcome, accepted, about, candidate, len(earlier) + attempted)
    result["history"] = str(history)
    if attempted:
        record_attempt(history, attempt_of(result))
    _write(result, attempt_summary(earlier) if attempted else NO_ATTEMPT, junit, summary, as_json)
    if outcome.verdict == "error":
        raise BenchError("\n".join(outcome.reasons))
    raise typer.Exit(outcome.status)


def _newest(store: "Store", baseline: "Snapshot") -> str | None:
    """The run that is tested where none is named.

    Raises:
        BenchError: the baseline was accepted from a report, which names no method and recipe.
    """
    from rlp_bench.regression.snapshot import newest_like

    if not baseline.origin.get("method") or not baseline.origin.get("recipe"):
        raise BenchError(
            "regress: neither --run nor --report was given, and the baseline was accepted from a report that names no "
            "method and recipe; give one of the two options"
        )
    return newest_like(store, baseline.origin)


def _check_suites(baseline: "Snapshot", suites: Sequence[str]) -> None:
    for alias in suites:
        if alias not in baseline.suites:
            raise UnknownName(
                f'--suite "{alias}": no such suite in the baseline; {nearest(alias, baseline.suites)}'
            )


def _write(
    result: Mapping[str, Any], attempts: str, junit: Path | None, summary: Path | None, as_json: bool
) -> None:
    """Writes the result in all requested formats."""
    from rlp_bench.regression.junit import junit_xml
    from rlp_bench.regression.render import render_markdown, render_text

    if junit is not None:
        _save(junit, junit_xml(result), "--junit")
    markdown = render_markdown(result, attempts).encode("utf-8", "replace")
    if summary is not None:
        _save(summary, markdown, "--summary")
    elif os.environ.get("GITHUB_STEP_SUMMARY"):
        _save(Path(os.environ["GITHUB_STEP_SUMMARY"]), markdown, "GITHUB_STEP_SUMMARY", append=True)
    if as_json:
        print_json(result)
    else:
        show(*render_text(result, attempts), pairs("", {"history": result["history"]}))


def _save(path: Path, data: bytes, option: str, append: bool = False) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not append and (path.is_file() or not path.exists()):  # a device or a pipe is not replaced
            write_atomic(path, data)
            return
        with path.open("ab") as out:
            out.write(data)
    except OSError as error:
        raise BenchError(
            f'{option} "{path}": cannot be written ({error.strerror}); give another file'
        ) from None
