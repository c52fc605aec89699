"""Makes texts of models safe to show in a page: no hidden characters, no markup, limited length."""

from typing import Any

from markupsafe import Markup

from rlp_bench.api import escape

LIMIT = 4000
"""Maximum number of characters shown of one text."""


def clean(value: Any) -> Any:
    """A text with hidden characters made visible, cut at LIMIT with a note; our own `Markup` is unchanged."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    whole = len(text)
    shown = escape.visible(text[:LIMIT], keep="\n\t")
    return shown if whole <= LIMIT else f"{shown} … (cut: {LIMIT:,} of {whole:,} characters shown)"


def amount(number: float) -> str:
    """1234567 -> "1.2M"; two digits below ten."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}"
    return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"


def percent(cell: dict[str, Any] | None) -> str:
    """A win rate in percent with one decimal."""
    return "" if cell is None else f"{cell['win_rate']:.1f}"


def span(ends: Any, digits: int = 1, factor: float = 1.0) -> str:
    """The two ends of an interval."""
    if ends is None:
        return ""
    return f"{factor * ends[0]:.{digits}f} to {factor * ends[1]:.{digits}f}".replace("-", "−")
