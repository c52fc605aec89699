"""Renders reports as text: a table of suites, and tables of the other results."""

from collections.abc import Iterable, Sequence
from typing import Any

from rlp_bench.api.report import Agreement, Report, SuiteReport, headline, headline_key, suite_name
from rlp_bench.display import pairs
from rlp_bench.evaluation.kinds.kind import Kind, Section, with_error
from rlp_bench.evaluation.kinds.table import kind_of


def summarize(report: Report) -> list[Section]:
    """The sections of a summary: suites with intervals, reward model accuracy, KL and length."""
    sections: list[Section] = [
        (
            "Suites",
            [("suite", "result", "95 % interval", "n", "judge")] + [suite_row(r) for r in report["suites"]],
        )
    ]
    qualifiers = [row for r in report["suites"] for row in _kind(r).beside(r)]
    if qualifiers:
        sections.append(("Beside the win rate", qualifiers))
    second = [row for r in report["suites"] for row in _beside(r)]
    if second:
        sections.append(("Other judges and controls", second))
    if "kl" in report:
        sections.append(("Policy", list(_policy_rows(report))))
    notes: list[tuple[str, ...]] = [(suite_name(r), note) for r in report["suites"] for note in _notes(r)]
    notes += [
        (stage, "is a stand-in for the component it is named after") for stage in report.get("stand_ins", ())
    ]
    if notes:
        sections.append(("Notes", notes))
    return sections


def suite_row(report: SuiteReport) -> tuple[str, ...]:
    """(suite, result, interval, n, judge) of one suite report."""
    name, value = suite_name(report), headline(report)
    if value is None:
        return name, f"none: {report['reason']}", "", f"0/{report['n_items']}", ""
    what = f"{headline_key(report).replace('_', ' ')} {with_error(value, report['standard_error'])}"
    n = f"{report['n_scored']}/{report['n_items']}"
    return name, what, interval(report), n, _kind(report).judged_by(report)


def _kind(report: SuiteReport) -> Kind:
    return kind_of(suite_name(report), report["kind"])


def interval(report: SuiteReport) -> str:
    """`43.3 to 50.2`."""
    low, high = report["ci95"]
    return f"{low:.1f} to {high:.1f}"


def _beside(report: SuiteReport) -> Iterable[tuple[str, ...]]:
    for group in (report.get("second_judges", {}), report.get("controls", {})):
        for judge, found in group.items():
            rate = with_error(found["win_rate"], found["standard_error"])
            yield suite_name(report), judge, f"win rate {rate}"


def _policy_rows(report: Report) -> Iterable[tuple[str, str]]:
    kl = report["kl"]
    if kl["mean"] is None:
        yield "KL to SFT", kl["estimator"]
    else:
        yield "KL to SFT (nats a response)", f"{with_error(kl['mean'], kl['se'])} ({kl['estimator']})"
    if (length := report.get("length_tokens")) is not None:
        yield "length (tokens)", f"{length:.1f}"
    if (finished := report.get("finish_rate")) is not None:
        yield "finished answers (EOS)", f"{100 * finished:.1f} %"
    reward = report.get("reward_model")
    if reward:
        yield "reward model on SFT pairs", _accuracies(reward["sft_pairs"])
        yield "reward model on policy pairs", _accuracies(reward["policy_pairs"])


def _accuracies(found: Agreement) -> str:
    parts = []
    pool, gold = (
        ("pool", found.get("pool_accuracy"), found.get("pool_se")),
        ("gold", found.get("gold_accuracy"), found.get("gold_se")),
    )
    for who, value, error in (pool, gold):
        if value is not None:
            parts.append(
                f"{who} {100 * value:.1f}" + (f" ± {100 * error:.1f}" if error is not None else "") + " %"
            )
    return (
        ", ".join(parts) + f" (n = {found['n']})" if parts else "no pair on which the judge has a preference"
    )


def _notes(report: SuiteReport) -> Sequence[str]:
    evidence = [report["evidence"]] if report.get("evidence") else []
    return [*evidence, *report.get("warnings", [])]


def render(report: Report) -> list[Any]:
    """Tables of the summary, and of every suite by subset or category."""
    groups = [section for suite in report["suites"] for section in _kind(suite).groups(suite)]
    return [pairs(title, rows) for title, rows in [*summarize(report), *groups]]
