"""Reports as text for people: a table of suites, and what stands beside them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Section = tuple[str, list[tuple[str, ...]]]


def summarize(report: Mapping[str, Any]) -> list[Section]:
    """Titled rows for a summary: suites with intervals, reward model accuracy, KL and length."""
    sections: list[Section] = [
        (
            "Suites",
            [("suite", "result", "95 % interval", "n", "judge")] + [suite_row(r) for r in report["suites"]],
        )
    ]
    told = [row for r in report["suites"] if r["kind"] == "win_rate" for row in _told(r)]
    if told:
        sections.append(("AuxiliaryObjective the win rate", told))
    second = [row for r in report["suites"] for row in _beside(r)]
    if second:
        sections.append(("Other judges and controls", second))
    if "kl" in report:
        sections.append(("Policy", list(_policy_rows(report))))
    notes: list[tuple[str, ...]] = [
        (f"{r.get('alias', r['suite'])}", note) for r in report["suites"] for note in _notes(r)
    ]
    notes += [(stage, "stands in for what its name says") for stage in report.get("stand_ins", ())]
    if notes:
        sections.append(("Notes", notes))
    return sections


def suite_row(report: Mapping[str, Any]) -> tuple[str, ...]:
    """(suite, result, interval, n, judge) of one suite report."""
    name = str(report.get("alias") or report["suite"])
    if report["kind"] == "win_rate":
        judge = report["judge"]
        what = f"win rate {with_error(report['win_rate'], report['standard_error'])}"
        who = ", ".join(judge.get("annotators", [])) if judge["name"] == "replay" else judge["name"]
        return name, what, interval(report), f"{report['n_scored']}/{report['n_items']}", who or judge["name"]
    if report["accuracy"] is None:
        return name, f"none: {report['reason']}", "", f"0/{report['n_items']}", ""
    what = f"accuracy {with_error(report['accuracy'], report['standard_error'])}"
    return (
        name,
        what,
        interval(report),
        f"{report['n']}/{report['n_items']}",
        {"pairs": "reward model", "few_shot": str(report.get("protocol"))}.get(report["kind"], ""),
    )


def with_error(value: float, error: float | None) -> str:
    """`46.8 ± 1.8`, the error being one standard error."""
    return f"{value:.2f} ± {error:.2f}" if error is not None else f"{value:.2f}"


def interval(report: Mapping[str, Any]) -> str:
    """`43.3 to 50.2`."""
    low, high = report["ci95"]
    return f"{low:.1f} to {high:.1f}"


def _told(report: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    """What a win rate must not be read without: length, the judge's taste for a side, and what has no verdict."""
    name, controlled = str(report.get("alias") or report["suite"]), report.get("length_controlled")
    if controlled:
        found = controlled["win_rate"] is not None
        rate = (
            with_error(controlled["win_rate"], controlled["standard_error"])
            if found
            else controlled["reason"]
        )
        yield name, "length-controlled", rate
    yield name, "discrete (a verdict is won, tied or lost)", f"{report['discrete_win_rate']:.2f}"
    if report["position_gap"] is not None:
        yield name, "more often shown first than second", f"{report['position_gap']:+.2f} points"
    lengths = [(report["mean_length_chars"], "characters"), (report["mean_length_tokens"], "tokens")]
    mean = ", ".join(f"{value:.0f} {unit}" for value, unit in lengths if value is not None)
    if mean and report["reference_length_chars"] is not None:
        yield name, "mean length", f"{mean} (references {report['reference_length_chars']:.0f} characters)"
    counts = report["coverage"]
    yield name, "coverage", ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in counts.items() if n)


def _beside(report: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    name = str(report.get("alias") or report["suite"])
    for group in ("second_judges", "controls"):
        for judge, found in report.get(group, {}).items():
            yield name, judge, f"win rate {with_error(found['win_rate'], found['standard_error'])}"


def _policy_rows(report: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    kl = report["kl"]
    if kl["mean"] is None:
        yield "KL to SFT", kl["estimator"]
    else:
        yield "KL to SFT (nats a response)", f"{with_error(kl['mean'], kl['se'])} ({kl['estimator']})"
    if report.get("length_tokens") is not None:
        yield "length (tokens)", f"{report['length_tokens']:.1f}"
    if report.get("finish_rate") is not None:
        yield "answers that ended themselves", f"{100 * report['finish_rate']:.1f} %"
    reward = report.get("reward_model")
    for key, name in (("sft_pairs", "SFT pairs"), ("policy_pairs", "policy pairs")):
        if reward:
            yield f"reward model on {name}", _accuracies(reward[key])


def _accuracies(found: Mapping[str, Any]) -> str:
    parts = []
    for who in ("pool", "gold"):
        value = found.get(f"{who}_accuracy")
        if value is not None:
            error = found[f"{who}_se"]
            parts.append(
                f"{who} {100 * value:.1f}" + (f" ± {100 * error:.1f}" if error is not None else "") + " %"
            )
    return (
        ", ".join(parts) + f" (n = {found['n']})" if parts else "no pair on which the judge has a preference"
    )


def _notes(report: Mapping[str, Any]) -> Sequence[str]:
    evidence = [report["evidence"]] if report.get("evidence") else []
    return [*evidence, *report.get("warnings", [])]


def render(report: Mapping[str, Any]) -> Any:
    """Rich tables: the summary, and the subsets of every win-rate suite."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    tables = []
    for title, rows in [*summarize(report), *_subsets(report)]:
        table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
        for column in range(max(len(row) for row in rows)):
            table.add_column(justify="left" if column == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        tables.append(table)
    return Group(*tables)


def _subsets(report: Mapping[str, Any]) -> Iterable[Section]:
    for suite in report["suites"]:
        groups = suite.get("subsets", {}) if suite["kind"] == "win_rate" else {}
        rows: list[tuple[str, ...]] = [
            (name, with_error(found["win_rate"], found["standard_error"]), str(found["n"]))
            for name, found in groups.items()
            if found["n"]
        ]
        if rows:
            yield f"{suite.get('alias', suite['suite'])}: win rate by subset", rows
        if suite["kind"] == "few_shot":
            yield f"{suite.get('alias', suite['suite'])}: accuracy by category", _categories(suite)


def _categories(suite: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Categories, then both averages."""
    macro = suite["macro_average"]
    rows = [
        (name, with_error(found["accuracy"], found["standard_error"]), str(found["n"]))
        for name, found in suite["categories"].items()
        if found["n"]
    ]
    rows.append((suite["average"], with_error(suite["accuracy"], suite["standard_error"]), str(suite["n"])))
    return [*rows, (macro["average"], with_error(macro["accuracy"], macro["standard_error"]), "")]
