"""Tells the person who waits, on stderr: a bar with rate and time left; plain lines without a terminal."""

import sys
import time
from types import TracebackType
from typing import Any

LINE_SECONDS = 10.0
"""Least time between two plain lines of one task."""


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
        """A `nouns.Progress` for one stage."""
        return Task(name, self)

    def say(self, line: str) -> None:
        """One line that stays."""
        if self.quiet:
            return
        if self._bars is not None:
            self._bars.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)


class Task:
    """Progress of one stage; ends its bar when `close` is called."""

    def __init__(self, name: str, display: Display) -> None:
        self.name, self.display = name, display
        self._began = self._said = time.monotonic()
        self._bar: Any = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        rate = rate_text(done, time.monotonic() - self._began)
        bars = self.display._bars
        if bars is not None:
            if self._bar is None:
                self._bar = bars.add_task(self.name, total=total, note="", rate="")
            bars.update(self._bar, completed=done, total=total, note=note, rate=rate)
        elif time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            left = time_left(done, total, self._said - self._began)
            self.display.say(f"{self.name}: {done}/{total} {rate} {left} {note}".rstrip())

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self.display._bars.remove_task(self._bar)
            self._bar = None


def rate_text(done: int, seconds: float) -> str:
    """`3.2/s`, or `2.1 s each` where it is slow; empty at the start."""
    if done <= 0 or seconds <= 0:
        return ""
    return f"{done / seconds:.1f}/s" if done >= seconds else f"{seconds / done:.1f} s each"


def time_left(done: int, total: int, seconds: float) -> str:
    """`about 40 s left`, at the rate so far."""
    return f"about {seconds / done * (total - done):.0f} s left" if done > 0 else ""
