"""What commands print: tables for people, JSON for programs, nothing else on stdout."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def print_text(text: str) -> None:
    """Text on stdout, as it is."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Any:
    """A rich table; columns whose name starts with ">" are right-aligned."""
    from rich.markup import escape
    from rich.table import Table

    made = Table(
        title=escape(title) or None, title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for column in columns:
        right = column.startswith(">")
        made.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(str(cell)) for cell in row))
    return made


def show(*renderables: Any) -> None:
    """Prints renderables on stdout; wide tables stay whole where stdout is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 160
    console = Console(width=width, highlight=False, soft_wrap=False)
    for each in renderables:
        console.print(each)


def pairs(title: str, rows: Mapping[str, Any] | Sequence[Sequence[Any]]) -> Any:
    """A table of names and values without a header."""
    found = list(rows.items()) if isinstance(rows, Mapping) else rows
    made = table(title, ["", *[">"] * (max((len(row) for row in found), default=2) - 1)], found)
    made.show_header = False
    return made


def duration(seconds: float | None) -> str:
    """`12 s`, `3.4 min`, `2.1 h`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """`3.1 MB`."""
    return f"{count / 1e6:.1f} MB"
