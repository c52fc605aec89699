"""Terminal output: progress on stderr (a bar, or plain lines without a terminal), tables and JSON on stdout."""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

LINE_SECONDS = 10.0
"""Minimum time between two progress lines of one task."""


class Display:
    """`with Display() as display: display.task("ppo")(done, total, note)`."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bars: Any = None

    def __enter__(self) -> "Display":
        if sys.stderr.isatty() and not self.quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description:<14}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def task(self, name: str) -> "Task":
        """An `api.Progress` for one stage."""
        return Task(name, self)

    def say(self, line: str) -> None:
        """Prints a permanent line, unless quiet."""
        if not self.quiet:
            self.warn(line)

    def warn(self, line: str) -> None:
        """Prints a permanent line, even if quiet."""
        if self._bars is not None:
            self._bars.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)


class Task:
    """Progress of one stage; `close` removes its bar."""

    def __init__(self, name: str, display: Display) -> None:
        self.name, self.display = name, display
        self._began = self._printed_at = time.monotonic()
        self._bar: Any = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        rate = rate_text(done, time.monotonic() - self._began)
        bars = self.display._bars
        if bars is not None:
            if self._bar is None:
                self._bar = bars.add_task(self.name, total=total, note="", rate="")
            bars.update(self._bar, completed=done, total=total, note=note, rate=rate)
        elif time.monotonic() - self._printed_at >= LINE_SECONDS:
            self._printed_at = time.monotonic()
            left = time_left(done, total, self._printed_at - self._began)
            self.display.say(f"{self.name}: {done}/{total} {rate} {left} {note}".rstrip())

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self.display._bars.remove_task(self._bar)
            self._bar = None


def rate_text(done: int, seconds: float) -> str:
    """`3.2/s`, or `2.1 s each` below one per second; empty at the start."""
    if done <= 0 or seconds <= 0:
        return ""
    return f"{done / seconds:.1f}/s" if done >= seconds else f"{seconds / done:.1f} s each"


def time_left(done: int, total: int, seconds: float) -> str:
    """`about 40 s left`, from the average rate so far."""
    return f"about {seconds / done * (total - done):.0f} s left" if done > 0 else ""


def print_json(value: Any) -> None:
    """Prints one JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def print_text(text: str) -> None:
    """Prints text unchanged on stdout."""
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
    """Prints renderables on stdout; tables are 160 columns wide where stdout is not a terminal."""
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


def describe(figures: Mapping[str, Any]) -> str:
    """One line for users: `12.3 s (11.9 CPU s), 310 MB, 45k tokens_sampled/s`."""
    rates = {k: v for k, v in figures.get("per_second", {}).items() if k.startswith("tokens")}
    speed = "".join(f", {short(rate)} {name}/s" for name, rate in rates.items())
    memory = figures["peak_rss_bytes"] / 1e6
    return f"{figures['wall_seconds']:.1f} s ({figures['cpu_seconds']:.1f} CPU s), {memory:.0f} MB{speed}"


def short(number: float) -> str:
    """1234567 -> "1.2M"."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit:
            return f"{number / limit:.1f}{unit}"
    return f"{number:.0f}"
