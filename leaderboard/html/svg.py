"""Builds inline SVG: escaped tags, rounded numbers, axes. Equal input gives equal bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from .text import clean


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """`<name a-b="...">children</name>`, everything escaped; `cls` is class, attributes that are None are omitted."""
    given = "".join(
        f' {"class" if key == "cls" else _attribute(key)}="{escape(clean(_value(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(child if isinstance(child, Markup) else escape(clean(child)) for child in children)
    return Markup(f"<{name}{given}>{inside}</{name}>" if inside else f"<{name}{given}/>")


def _attribute(key: str) -> str:
    return key if key == "viewBox" else key.rstrip("_").replace("_", "-")


def _value(value: Any) -> str:
    return number(value) if isinstance(value, int | float) else str(value)


def number(value: float) -> str:
    """The number with one decimal, or none if that is zero."""
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def picture(width: float, height: float, title: str, description: str, *children: Any) -> Markup:
    """The whole drawing, with a title and a text description for screen readers."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *children,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
    )


def label(x: float, y: float, text: str, anchor: str = "start", cls: str | None = None) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=None if anchor == "start" else anchor, cls=cls)


def rule(x1: float, y1: float, x2: float, y2: float, cls: str) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, cls=cls)


@dataclass(frozen=True)
class Look:
    """Color and shape of a mark; either one identifies it."""

    colour: int
    """Class k0 to k7 of the style sheet."""
    shape: str = "circle"
    """"circle", "square", "up", "down", "diamond", "cross", "hollow"."""


def mark(x: float, y: float, look: Look, size: float = 3.6) -> Markup:
    """A shape around (x, y)."""
    cls = f"k{look.colour}"
    if look.shape in ("circle", "hollow"):
        return tag("circle", cx=x, cy=y, r=size, cls=cls if look.shape == "circle" else f"{cls} hollow")
    a = size * 1.1
    corners = {
        "square": [(-a, -a), (a, -a), (a, a), (-a, a)],
        "up": [(0, -1.3 * a), (1.2 * a, a), (-1.2 * a, a)],
        "down": [(0, 1.3 * a), (1.2 * a, -a), (-1.2 * a, -a)],
        "diamond": [(0, -1.4 * a), (1.4 * a, 0), (0, 1.4 * a), (-1.4 * a, 0)],
        "cross": [(-a, -a), (0, -a / 3), (a, -a), (a / 3, 0), (a, a), (0, a / 3), (-a, a), (-a / 3, 0)],
    }[look.shape]
    return tag(
        "path", d="M" + "L".join(f"{number(x + dx)} {number(y + dy)}" for dx, dy in corners) + "Z", cls=cls
    )


@dataclass(frozen=True)
class Axis:
    """Maps values low..high to pixels start..end (end may be smaller: y grows downward)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """At most `most` round values within the axis."""
        step = _round_step((self.high - self.low) / max(1, most - 1))
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def around(values: Sequence[float], *more: float, margin: float = 0.05) -> tuple[float, float]:
    """A range that contains all values with a margin; for a single value a range of width 1."""
    known = [v for v in (*values, *more) if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if low == high:
        return low - 0.5, high + 0.5
    extra = margin * (high - low)
    return low - extra, high + extra


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def tick_text(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")
