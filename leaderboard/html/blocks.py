"""The parts of a section, which are all that the template depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from .svg import Look, mark, tag

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a number, and below it in small print its interval or other context."""

    text: str
    small: str = ""
    kind: str = ""
    """"", "yes", "no", "open", "none": shown by colour and by `sign`."""

    @property
    def sign(self) -> str:
        return {"yes": "✓ ", "no": "✗ ", "open": "~ ", "none": "– "}.get(self.kind, "")


@dataclass(frozen=True)
class Table:
    """Rows of cells (or texts); the first cell names the row."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    summary: str = ""
    """If set, the table is collapsed under this text."""
    breaks: frozenset[int] = frozenset()
    """Indices of rows above which a new group begins."""
    words: int = 1
    """Number of text columns, from the left."""
    block: str = "table"


@dataclass(frozen=True)
class Chart:
    """A drawing with a caption and a note above it."""

    caption: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True)
class Panels:
    """Charts side by side, wrapped at the width of the screen."""

    charts: Sequence[Chart]
    legend: Sequence[tuple[Look, str]] = ()
    small: bool = False
    summary: str = ""
    open: bool = True
    block: str = "panels"

    @property
    def keys(self) -> list[tuple[Markup, str]]:
        """The marks of the legend as SVG, with their texts."""
        return [
            (tag("svg", mark(7, 7, look, 4.0), viewBox="0 0 14 14", aria_hidden="true", cls="key"), text)
            for look, text in self.legend
        ]


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    lines: Sequence[str]
    missing: bool = False
    """Whether the text says that something is missing."""
    block: str = "text"


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    rows: Sequence[tuple[str, str]]
    block: str = "facts"


@dataclass(frozen=True)
class Samples:
    """Answers side by side, with search and filters."""

    rows: Sequence[Mapping[str, Any]]
    methods: Sequence[str]
    first: Sequence[str]
    """Methods that are shown initially."""
    subsets: Sequence[str]
    categories: Sequence[str]
    marked: Mapping[str, str]
    """Method -> its name with its mark."""
    block: str = "samples"


Block = Table | Panels | Text | Facts | Samples


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    id: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def absent(id: str, title: str, why: str) -> Section:
    """A section that says why it is empty."""
    return Section(id, title, [Text([why], missing=True)])
