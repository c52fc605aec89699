"""Kind "win_rate": answers compared with reference answers by a judge.

Outputs, verdicts, second judges and controls are stored separately. Aggregation: `win_rate_report`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import read_jsonl, sha256
from rlp_bench.api.protocols import Judge, Progress, Suite
from rlp_bench.api.report import JudgeResult, LengthControlled, SuiteReport, suite_name
from rlp_bench.api.types import Artifact, Decoding, Item, Pair, Prompting
from rlp_bench.evaluation.kinds.kind import Asking, Judged, Kind, Prompts, Section, with_error
from rlp_bench.evaluation.length_report import described, length_controlled
from rlp_bench.evaluation.outputs import Outputs, item_hash, read_artifact, reference_hash
from rlp_bench.evaluation.resolve import is_subset, load_judge, overlap, rows_left_out
from rlp_bench.evaluation.verdicts import POLICY_FIRST, orders_of, read_verdicts, seal_verdicts
from rlp_bench.evaluation.win_rate_report import INCOMPLETE, WinRateReport, percent, warnings, win_rate_report
from rlp_bench.statistics import estimate_mean
from rlp_bench.store.store import Store, hash_file

CONTROLS = ("longest", "constant")
"""Control judges, reported with every result: the length baseline, and one that gives 50 % by construction."""
INDEPENDENT = "not independent evidence"


def win_rate(asking: Asking, alias: str, suite: Suite, items: list[Item]) -> SuiteReport:
    """Samples and judges the policy's answers. A subset of a suite judged before is computed from its verdicts."""
    for name, done in asking.judged.items():
        if is_subset(items, done.items):
            return restrict(done.report, suite, items, asking.store, done.outputs, done.rows, name)
    absent_items(suite, items, allow_missing=asking.allow_missing)
    outputs = asking.answers(items, suite)
    rows = read_artifact(outputs)
    report = evaluate_suite(
        asking.store, suite, items, outputs, rows, asking.judge, asking.order, asking.progress,
        asking.second_judges, asking.allow_missing,
    )  # fmt: skip
    rendered = asking.prompting.render(items[0].instruction, items[0].input)
    report["first_prompt"] = {
        "text": rendered,
        "sha256": sha256(rendered.encode("utf-8", "surrogatepass")),
    }
    shared = overlap(items, {name: done.items for name, done in asking.judged.items()})
    if shared:
        report["evidence"] = f"shares {shared[1]} items with {shared[0]}: {INDEPENDENT} on these"
    asking.judged[alias] = Judged(items, outputs, rows, report)
    return report


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
    excused: int = 0,
) -> WinRateReport:
    """The suite's report, including second judges and controls. Stored verdicts are reused.

    Args:
        excused: how many items may lack an answer because rows of the outputs file were left out.
    """

    lacking = absent_items(suite, items, allow_missing=allow_missing)

    def judged(judge: Judge, order: str) -> WinRateReport:
        verdicts = seal_verdicts(store, items, outputs, rows, judge, order, progress)
        given = read_verdicts(verdicts)
        report = win_rate_report(
            items,
            rows,
            given,
            judge.manifest(),
            allow_missing=allow_missing,
            excused=excused + rows_left_out(judge),
        )
        return _finish(report, suite, items, outputs, verdicts, order)

    report = judged(judge, order)
    if lacking:
        report["absent_items"] = lacking
        report["warnings"].append(
            f"{len(items)} of the suite's {len(items) + lacking} items: a part of {suite.name}"
        )
    for what, source in (("suite", suite), ("judge", judge)):
        if count := rows_left_out(source):
            report["warnings"].append(
                f"rows left out of the {what}'s file, because they cannot be used: {count}"
            )
    own = getattr(suite, "own", None)
    if own is not None and own():
        report["evidence"] = f"{own()} of your own items: none of them is one of {suite.name}'s"
    report["length_controlled"] = _length_controlled_rate(store, suite, items, rows, report)
    report["second_judges"] = {name: _short(judged(load_judge(name), order)) for name in second}
    report["controls"] = {name: _short(judged(load_judge(name), "both")) for name in CONTROLS}
    return report


def restrict(
    report: SuiteReport,
    suite: Suite,
    items: Sequence[Item],
    store: Store,
    outputs: Artifact,
    rows: Outputs,
    inside: str,
) -> WinRateReport:
    """The report of a subset of a suite judged before, from the same outputs and verdicts.

    Missing verdicts were checked for the whole suite already.
    """
    ids = {item.id for item in items}
    verdicts = _open_verdicts(store, report)
    mine = [row for row in read_verdicts(verdicts) if row["item_id"] in ids]
    found = win_rate_report(items, rows, mine, report["judge"], allow_missing=True)
    found = _finish(found, suite, items, outputs, verdicts, report["order"])
    scores = [row for row in read_jsonl(store.root / found["scores"]) if row["item_id"] in ids]
    found["length_controlled"] = length_controlled(suite, items, rows, scores)
    found["second_judges"] = _all_within(store, report["second_judges"], ids)
    found["controls"] = _all_within(store, report["controls"], ids)
    found["evidence"] = f"subset of {inside}: {INDEPENDENT}"
    return found


def _finish(
    report: WinRateReport,
    suite: Suite,
    items: Sequence[Item],
    outputs: Artifact,
    verdicts: Artifact,
    order: str,
) -> WinRateReport:
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


def absent_items(suite: Suite, items: Sequence[Item], *, allow_missing: bool) -> int:
    """Number of items of the published suite that are absent here.

    Raises:
        DataError: more than 1 % are absent, without `allow_missing`.
    """
    count = getattr(suite, "absent", None)
    lacking: int = count() if count else 0
    if lacking > INCOMPLETE * (len(items) + lacking) and not allow_missing:
        raise DataError(
            f'suite "{suite.name}": {len(items)} of its {len(items) + lacking} items are there, the others have '
            "neither answer nor verdict; give them all, or --allow-missing to score a part that is marked as one"
        )
    return lacking


def _length_controlled_rate(
    store: Store, suite: Suite, items: Sequence[Item], rows: Outputs, report: SuiteReport
) -> LengthControlled:
    return length_controlled(suite, items, rows, list(read_jsonl(store.root / report["scores"])))


def _all_within(store: Store, results: Mapping[str, JudgeResult], ids: set[str]) -> dict[str, JudgeResult]:
    """Other judges' win rates on some of the items, from their stored scores."""
    found: dict[str, JudgeResult] = {}
    for name, other in results.items():
        rows = read_jsonl(store.root / other["scores"])
        scores = [row["score"] for row in rows if row["item_id"] in ids and row["score"] is not None]
        found[name] = {**other, **percent(estimate_mean(scores)), "n_scored": len(scores)}
    return found


def _open_verdicts(store: Store, report: SuiteReport) -> Artifact:
    return store.open(store.root / "artifacts" / report["artifacts"]["verdicts"])


def _short(report: SuiteReport) -> JudgeResult:
    return {
        "judge": report["judge"],
        "win_rate": report["win_rate"],
        "standard_error": report["standard_error"],
        "ci95": report["ci95"],
        "n_scored": report["n_scored"],
        "scores": report["scores"],
    }


def judged_by(report: SuiteReport) -> str:
    """The judge's name; for replayed verdicts, the annotators."""
    judge = report["judge"]
    who = ", ".join(judge.get("annotators", [])) if judge["name"] == "replay" else ""
    return who or str(judge["name"])


def beside(report: SuiteReport) -> Iterable[tuple[str, ...]]:
    """Rows that qualify a win rate: length control, lengths, position gap and coverage."""
    found, name = cast(WinRateReport, report), suite_name(report)
    controlled = found.get("length_controlled")
    if controlled:
        rate = controlled["win_rate"]
        yield (
            name,
            f"length-controlled ({described(controlled)})",
            controlled["reason"] if rate is None else with_error(rate, controlled["standard_error"]),
        )
    yield name, "discrete (a verdict is won, tied or lost)", f"{found['discrete_win_rate']:.2f}"
    if found["position_gap"] is not None:
        yield name, "position gap (shown first - second)", f"{found['position_gap']:+.2f} points"
    lengths = [(found["mean_length_chars"], "characters"), (found["mean_length_tokens"], "tokens")]
    mean = ", ".join(f"{value:.0f} {unit}" for value, unit in lengths if value is not None)
    if mean and found["reference_length_chars"] is not None:
        yield name, "mean length", f"{mean} (references {found['reference_length_chars']:.0f} characters)"
    counts = found["coverage"]
    yield name, "coverage", ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in counts.items() if n)


def by_subset(report: SuiteReport) -> Iterable[Section]:
    """The win rate of every subset that has a score."""
    rows: list[tuple[str, ...]] = [
        (name, with_error(found["win_rate"] or 0.0, found["standard_error"]), str(found["n"]))
        for name, found in report.get("subsets", {}).items()
        if found["n"]
    ]
    if rows:
        yield f"{suite_name(report)}: win rate by subset", rows


def writes(suite: Suite) -> bool:
    """True: answers are generated text."""
    return True


def prompts_asked(
    engine: Any, suite: Suite, items: Sequence[Item], prompting: Prompting, decoding: Decoding, seed: int
) -> Prompts:
    """Every instruction in the recipe's prompt template."""
    return Prompts([prompting.render(item.instruction, item.input) for item in items], decoding, seed)


def pairs_judged(items: Sequence[Item], answers: Mapping[str, str], order: str) -> list[Pair]:
    """The pairs for the judge; an answer that equals its reference is a tie without a call."""
    return [
        Pair(item.instruction, *(sides if shown == POLICY_FIRST else sides[::-1]), item.input)
        for item in items
        if item.reference is not None and (answer := answers.get(item.id)) not in (None, item.reference)
        for sides in [(str(answer), item.reference)]
        for shown in orders_of(item, str(answer), order)
    ]


WIN_RATE = Kind(
    "win_rate",
    "win_rate",
    win_rate,
    judged_by=judged_by,
    beside=beside,
    groups=by_subset,
    by_writing=writes,
    prompts=prompts_asked,
    pairs=pairs_judged,
    judge_outputs=evaluate_suite,
)
