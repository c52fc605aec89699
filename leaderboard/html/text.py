"""Makes texts of models safe to show in a page: no hidden characters, no markup, limited length."""

import re
from typing import Any

from markupsafe import Markup

LIMIT = 4000
"""Maximum number of characters shown of one text."""
HIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
"""Control characters, bidirectional marks, lone surrogates, and noncharacters."""


def clean(value: Any) -> Any:
    """A text with hidden characters made visible, cut at LIMIT with a note; our own `Markup` is unchanged."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    whole = len(text)
    shown = HIDDEN.sub(_visible, text[:LIMIT])
    return shown if whole <= LIMIT else f"{shown} … (cut: {LIMIT:,} of {whole:,} characters shown)"


def _visible(found: re.Match[str]) -> str:
    """A control picture for ASCII controls, an escape for others: NUL is ␀, U+202E is \\u202e."""
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"\\u{code:04x}"


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
