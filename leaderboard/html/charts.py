"""The four charts of the report: dots with intervals, bars with intervals, lines, and a histogram."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .svg import Axis, Look, around, label, mark, number, picture, rule, tag, tick_text

WIDTH = 340.0
ROW = 16.0
LABELS, VALUES = 118.0, 34.0
"""Pixels left for names and right for numbers."""


@dataclass(frozen=True)
class Dot:
    """One row: a mean with the ends of its interval; a row without a mean shows "none"."""

    name: str
    look: Look
    mean: float | None
    ends: tuple[float, float] | None
    tip: str
    """Tooltip: mean, interval, n, seeds."""
    shown: str = ""
    """The number at the right end."""
    beside: float | None = None
    """A published value, shown as a cross."""
    gap: bool = False
    """Whether to draw a line above, where a new group begins."""


def dots(
    rows: Sequence[Dot],
    title: str,
    *,
    reference: float | None = None,
    bars: bool = False,
    within: tuple[float, float] | None = None,
) -> Markup:
    """Rows of dots (or bars from 0) with whiskers.

    Args:
        reference: value of a dashed line (50 percent, 0 points).
        within: ends of the axis; None: a range that contains all rows.
    """
    numbers = [v for row in rows for v in (row.mean, *(row.ends or ()), row.beside) if v is not None]
    low, high = within or around(
        numbers, *([0.0] if bars else []), *([] if reference is None else [reference])
    )
    axis = Axis(
        0.0 if bars and low < 0 <= min(numbers, default=0) else low, high, LABELS + 6, WIDTH - VALUES - 6
    )
    bottom = 6 + ROW * len(rows)
    parts = [_grid(axis, bottom)]
    if reference is not None:
        parts.append(rule(axis(reference), 2, axis(reference), bottom, "reference"))
    for place, row in enumerate(rows):
        parts.append(_dot(row, 6 + ROW * (place + 0.5), axis, bars))
    words = "; ".join(row.tip for row in rows)
    return picture(WIDTH, bottom + 16, title, words, *parts)


def _grid(axis: Axis, bottom: float) -> Markup:
    parts = []
    for tick in axis.ticks():
        parts.append(rule(axis(tick), 2, axis(tick), bottom, "grid"))
        parts.append(label(axis(tick), bottom + 12, tick_text(tick), "middle", "tick"))
    return Markup("").join(parts)


def _dot(row: Dot, y: float, axis: Axis, bars: bool) -> Markup:
    parts = [tag("title", row.tip), label(LABELS, y + 3.6, row.name, "end")]
    if row.gap:
        parts.append(rule(0, y - ROW / 2, WIDTH, y - ROW / 2, "gap"))
    if row.mean is None:
        parts.append(label(axis.start + 2, y + 3.6, "none", cls="tick"))
        return tag("g", *parts)
    if bars:
        left, right = sorted((axis(max(0.0, axis.low)), axis(row.mean)))
        cls = f"k{row.look.colour} bar"
        parts.append(tag("rect", x=left, y=y - ROW * 0.32, width=right - left, height=ROW * 0.64, cls=cls))
    if row.ends is not None:
        for cls in ("halo", "whisker") if bars else (f"k{row.look.colour} interval",):
            parts.append(rule(axis(row.ends[0]), y, axis(row.ends[1]), y, cls))
    if not bars:
        parts.append(mark(axis(row.mean), y, row.look))
    if row.beside is not None:
        parts.append(mark(axis(row.beside), y, Look(7, "cross"), 3.0))
    parts.append(label(WIDTH - 2, y + 3.6, row.shown, "end", "value"))
    return tag("g", *parts)


@dataclass(frozen=True)
class Line:
    """One line; a point is (x, y, interval of y or None)."""

    name: str
    look: Look
    points: Sequence[tuple[float, float, tuple[float, float] | None]]
    faint: bool = False


def lines(
    series: Sequence[Line],
    title: str,
    words: str,
    *,
    size: tuple[float, float] = (340.0, 220.0),
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    marks: bool = True,
) -> Markup:
    """Lines in one pair of axes, with faint ones in the background."""
    points = [p for line in series for p in line.points]
    width, height = size
    x = Axis(*(x_range or around([p[0] for p in points], margin=0.03)), 40, width - 6)
    heights = [v for p in points for v in (p[1], *(p[2] or ()))]
    y = Axis(*(y_range or around(heights)), height - 20, 6)
    parts = []
    for tick in y.ticks(5 if height > 150 else 4):
        parts.append(rule(x.start, y(tick), x.end, y(tick), "grid"))
        parts.append(label(36, y(tick) + 3.4, tick_text(tick), "end", "tick"))
    for tick in x.ticks(5 if width > 250 else 4):
        parts.append(rule(x(tick), y.start, x(tick), y.start + 3, "grid"))
        parts.append(label(x(tick), height - 6, tick_text(tick), "middle", "tick"))
    for line in sorted(series, key=lambda one: not one.faint):
        parts.append(_line(line, x, y, marks))
    return picture(width, height, title, words, *parts)


def _line(line: Line, x: Axis, y: Axis, marks: bool) -> Markup:
    cls = f"k{line.look.colour} line" + (" faint" if line.faint else "")
    way = "L".join(f"{number(x(p[0]))} {number(y(p[1]))}" for p in line.points)
    parts = [tag("title", line.name), tag("path", d=f"M{way}", cls=cls)]
    seen = (marks and not line.faint) or len(line.points) == 1
    for point in line.points if seen else []:
        if point[2] is not None:
            place, (low, high) = x(point[0]), point[2]
            parts.append(rule(place, y(low), place, y(high), f"k{line.look.colour} interval thin"))
        parts.append(mark(x(point[0]), y(point[1]), line.look, 3.0))
    return tag("g", *parts)


def histogram(
    accepted: Sequence[int], rejected: Sequence[int], title: str, words: str, threshold: float | None
) -> Markup:
    """Stacked counts per tenth of [0, 1], accepted below and not accepted above, with a line at the threshold."""
    width, height = WIDTH, 170.0
    x = Axis(0.0, 1.0, 40, width - 8)
    tallest = max([a + r for a, r in zip(accepted, rejected, strict=True)] + [1])
    y = Axis(0.0, 1.05 * tallest, height - 20, 8)
    parts = []
    for tick in y.ticks():
        parts.append(rule(x.start, y(tick), x.end, y(tick), "grid"))
        parts.append(label(36, y(tick) + 3.4, tick_text(tick), "end", "tick"))
    bins = len(accepted)
    for place, (yes, no) in enumerate(zip(accepted, rejected, strict=True)):
        left, right = x(place / bins) + 1, x((place + 1) / bins) - 1
        tip = f"{place / bins:g} to {(place + 1) / bins:g}: {yes} accepted, {no} not"
        bars = [
            tag("rect", x=left, y=y(base + n), width=right - left, height=y(base) - y(base + n), cls=cls)
            for base, n, cls in ((0, yes, "k4 bar"), (yes, no, "k0 bar"))
            if n
        ]
        parts.append(tag("g", tag("title", tip), *bars))
        parts.append(label(x(place / bins), height - 6, f"{place / bins:g}", "middle", "tick"))
    parts.append(label(x(1.0), height - 6, "1", "middle", "tick"))
    if threshold:
        parts.append(rule(x(threshold), 2, x(threshold), y.start, "reference"))
    return picture(width, height, title, words, *parts)
