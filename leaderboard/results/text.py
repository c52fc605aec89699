"""Formats numbers and tables of the results document as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import escape

Results = Mapping[str, Any]


class Bold(str):
    """A cell in bold type."""


def label(r: Results, method: str) -> str:
    """The name, with † if a stage is a stand-in and ‡ if tuning ended at the edge of its grid."""
    return method + ("†" if method in r["stand_ins"] else "") + ("‡" if at_edge(r, method) else "")


def at_edge(r: Results, method: str) -> bool:
    """Whether the chosen value of a method is the smallest or the largest one that was measured."""
    choice = (r["matrix"].get("tuning") or {}).get("choices", {}).get(method)
    measured = [m["value"] for m in choice["measured"]] if choice else []
    return len(measured) > 1 and choice["value"] in (min(measured), max(measured))


def ranked(r: Results, names: Sequence[str]) -> list[str]:
    """The methods with results from worst to best; equal ones (up to rounding) in the given order."""
    rates = r["suites"][r["main"]]
    return sorted((n for n in names if n in rates), key=lambda n: round(rates[n]["win_rate"], 9))


def rate(cell: Mapping[str, Any] | None) -> str:
    return "" if cell is None else f"{cell['win_rate']:.1f} ({cell['ci95'][0]:.1f} to {cell['ci95'][1]:.1f})"


def accuracy(cell: Mapping[str, Any] | None) -> str:
    return (
        ""
        if cell is None
        else f"{100 * cell['accuracy']:.1f} ({100 * cell['ci95'][0]:.1f} to {100 * cell['ci95'][1]:.1f})"
    )


def spread(values: Sequence[float | None], digits: int) -> str:
    """Mean, with minimum and maximum over seeds."""
    known = [v for v in values if v is not None]
    if not known:
        return ""
    mean = f"{sum(known) / len(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ({min(known):.{digits}f} to {max(known):.{digits}f})"


def signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def ends(ends: Sequence[float]) -> str:
    return f"{signed(ends[0])} to {signed(ends[1])}"


def p_value(value: float) -> str:
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def listed(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def short(number: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}"
    return f"{number:.0f}"


def table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; cells are text."""

    def cell(value: Any) -> str:
        return f"**{escape.markdown(value)}**" if isinstance(value, Bold) else escape.markdown(value)

    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(map(cell, cells)) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *(line(row) for row in rows)])
