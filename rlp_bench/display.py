"""Terminal output: progress on stderr (a bar, or plain lines without a terminal), tables and JSON on stdout.

Nothing else in the package prints. What is printed is text: hidden characters are made visible (`api.escape`), and
rich's markup is never interpreted.
"""

import io
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

from rlp_bench.api import escape

LINE_SECONDS = 10.0
"""Minimum time between two progress lines of one task."""


class Display:
    """`with Display() as display: display.task("ppo")(done, total, note)`."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bars: Any = None

    def __enter__(self) -> "Display":
        if sys.stderr.isatty() and not self.quiet:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description:<14}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}", markup=False),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=_console(sys.stderr),
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
            self._bars.console.print(_text(line))
        else:
            print_message(line)


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
                self._bar = bars.add_task(escape.line(self.name), total=total, note="", rate="")
            bars.update(self._bar, completed=done, total=total, note=escape.line(note), rate=rate)
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
    """Prints one JSON document on stdout; in ASCII where the console's encoding lacks a character of it."""
    text = escape.json(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = escape.json(value, ascii_only=True)
    sys.stdout.write(text + "\n")


def print_text(text: str) -> None:
    """Prints lines of text on stdout."""
    sys.stdout.write(escape.terminal(text.rstrip("\n")) + "\n")


def print_message(text: str) -> None:
    """Prints lines of text on stderr."""
    sys.stderr.write(escape.terminal(text.rstrip("\n")) + "\n")
    sys.stderr.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Any:
    """A rich table; columns whose name starts with ">" are right-aligned."""
    from rich.table import Table

    made = Table(
        title=_text(title) if title else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for column in columns:
        right = column.startswith(">")
        made.add_column(_text(column.lstrip(">")), justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(_text(cell) for cell in row))
    return made


def _text(value: Any) -> Any:
    """A renderable of rich that shows the text as it is."""
    from rich.text import Text

    return Text(escape.terminal(value))


def show(*renderables: Any) -> None:
    """Prints tables and texts on stdout; tables are 160 columns wide where stdout is not a terminal."""
    console = _console(sys.stdout, None if sys.stdout.isatty() else 160)
    for each in renderables:
        console.print(_text(each) if isinstance(each, str) else each)


@contextmanager
def live() -> Iterator[Any]:
    """Yields `update(*renderables)`, which shows tables and texts on stderr in place of those before."""
    from rich.console import Group
    from rich.live import Live

    with Live(console=_console(sys.stderr), auto_refresh=False, transient=True) as shown:

        def update(*renderables: Any) -> None:
            group = Group(*(_text(each) if isinstance(each, str) else each for each in renderables))
            shown.update(group, refresh=True)

        yield update


class _Open(io.FileIO):
    """A file descriptor to which one writes without an error when nobody reads it any more."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._failed = False

    def write(self, data: Any) -> int:
        """The number of bytes; all of them, unread, after a closed pipe. Another error is raised once."""
        if not self._failed:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._failed = True
            except OSError:
                self._failed = True
                raise
        return memoryview(data).nbytes


class _Text(io.TextIOWrapper):
    """A stream for people: what other libraries and Python itself print (warnings, tracebacks) is text, too."""

    def write(self, text: str) -> int:
        """Writes the text with hidden characters made visible, but for line breaks, returns and tabs."""
        if not isinstance(text, str):  # click asks in this way whether a stream takes bytes
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        super().write(escape.visible(text, keep="\n\r\t"))
        return len(text)


class _Rich:
    """The stream as rich needs it on a terminal, whose sequences pass; the texts within are escaped already."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if isinstance(self._stream, _Text):
            return io.TextIOWrapper.write(self._stream, text)
        return self._stream.write(text)


def _console(stream: TextIO, width: int | None = None) -> Any:
    """A console of rich that interprets nothing in a text."""
    from rich.console import Console

    file: Any = _Rich(stream)
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def open_streams() -> None:
    """Makes stdout and stderr write whatever they are given, in any encoding, and not fail when a pipe is closed.

    Characters that the console's encoding lacks are written as escapes.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed by who started this process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # as long as the process
        elif stream is getattr(sys, f"__{name}__") and not isinstance(stream, _Text):
            stream.flush()
            buffer = io.BufferedWriter(_Open(number))
            lines = number == 2 or stream.isatty()
            made = _Text(buffer, stream.encoding, "backslashreplace", line_buffering=lines)
            setattr(sys, name, made)


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
