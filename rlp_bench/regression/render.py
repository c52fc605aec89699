"""Renders the verdict: text tables, and a Markdown summary for a CI job."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api.escape import markdown

HEADS = {
    "pass": "PASS: not worse by the margin or more",
    "regression": "REGRESSION",
    "error": "ERROR: no verdict",
    "incomparable": "INCOMPARABLE: not the same measurement",
    "inconclusive": "INCONCLUSIVE: neither worse nor shown to be within the margin",
}
NUMBERS = (
    "suite",
    ">n",
    ">baseline",
    ">candidate",
    ">difference (95 %)",
    ">p",
    ">Holm p",
    ">margin",
    ">could see",
    "verdict",
)
DETAILS = (
    "suite",
    "test",
    ">better/worse",
    ">missing",
    ">unparsed",
    ">ties %",
    ">position gap",
    ">length",
)


def number_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows of the columns `NUMBERS`, in percent and points; a suite without a test has only its verdict."""
    return [
        (
            suite["alias"],
            str(suite.get("n", "")),
            _plain(suite.get("baseline")),
            _plain(suite.get("candidate")),
            _interval(suite),
            _p(suite.get("p")),
            _p(suite.get("p_holm")),
            _margin(suite),
            _plain(suite.get("smallest_detectable_difference")),
            suite["verdict"],
        )
        for suite in result["suites"]
    ]


def detail_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows of the columns `DETAILS`, as "baseline -> candidate" where the values differ."""
    return [
        (
            suite["alias"],
            suite.get("test", ""),
            f"{suite['better']}/{suite['worse']}" if "better" in suite else "",
            _both(suite["missing"], "{:.0f}"),
            _both(suite["unparsed"], "{:.0f}"),
            _both({side: 100 * share for side, share in suite["ties"].items()}, "{:.1f}"),
            _both(suite["position_gap"], "{:+.1f}"),
            _length(suite),
        )
        for suite in result["suites"]
        if "missing" in suite
    ]


def notes(result: Mapping[str, Any], attempts: str) -> list[str]:
    """The lines below the tables."""
    found = [f"{suite['alias']}: {suite['reason']}" for suite in result["suites"]]
    known = {suite["reason"] for suite in result["suites"]}
    found += [reason for reason in result["reasons"] if reason.partition(": ")[2] not in known]
    if result["changed"]:
        each = (f"{c['field']} {_cut(c['baseline'])} -> {_cut(c['candidate'])}" for c in result["changed"])
        found.append("changed: " + "; ".join(each))
    if result["not_in_baseline"]:
        found.append(f"not in the baseline, not compared: {', '.join(result['not_in_baseline'])}")
    if result["verdict"] == "inconclusive":
        found.append(f"inconclusive {'fails' if result['strict'] else 'passes without'} --strict")
    return [*found, attempts]


def render_text(result: Mapping[str, Any], attempts: str) -> list[Any]:
    """Renderables for a terminal."""
    from rlp_bench.display import table

    head = f"{HEADS[result['verdict']]} ({_sides(result)})"
    tables: list[Any] = [head]
    if result["suites"]:
        tables.append(table("", NUMBERS, number_rows(result)))
    details = detail_rows(result)
    if details:
        tables.append(table("Details: baseline -> candidate", DETAILS, details))
    return [*tables, "\n".join(notes(result, attempts))]


def render_markdown(result: Mapping[str, Any], attempts: str) -> str:
    """A Markdown job summary; all texts are escaped."""
    parts = [f"## rlp-bench regress: {HEADS[result['verdict']]}", "", markdown(_sides(result)), ""]
    if result["suites"]:
        parts += _markdown_table(NUMBERS, number_rows(result))
    details = detail_rows(result)
    if details:
        parts += _markdown_table(DETAILS, details)
    return "\n".join([*parts, *(f"- {markdown(note)}" for note in notes(result, attempts)), ""])


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(markdown(cell) for cell in cells)} |"

    rule = ["---:" if column.startswith(">") else "---" for column in columns]
    header = line([column.lstrip(">") for column in columns])
    return [header, f"|{'|'.join(rule)}|", *(line(row) for row in rows), ""]


def _sides(result: Mapping[str, Any]) -> str:
    old, new = (side.get("run") or side.get("report") for side in (result["baseline"], result["candidate"]))
    return f"{new or 'no candidate'} vs. {old}, baseline {result['baseline']['path']}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< .001" if value < 0.001 else f"{value:.3f}"


def _interval(suite: Mapping[str, Any]) -> str:
    if "ci95" not in suite:
        return ""
    low, high = suite["ci95"]
    return f"{suite['difference']:+.2f} ({low:+.2f} to {high:+.2f})"


def _margin(suite: Mapping[str, Any]) -> str:
    return "reported" if suite["margin"] is None else f"{suite['margin']:g}"


def _both(sides: Mapping[str, float | None], form: str) -> str:
    if None in sides.values():
        return ""
    old, new = (form.format(sides[side]) for side in ("baseline", "candidate"))
    return old if old == new else f"{old} -> {new}"


def _length(suite: Mapping[str, Any]) -> str:
    if not suite["length_unit"]:
        return ""
    return f"{_both(suite['length'], '{:.1f}')} {suite['length_unit']}"


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:16]}..."
