"""User errors are `BenchError`: one line, exit status 2, no traceback. Any other exception is a bug."""

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """A user error. Form: "where: what was given; what was expected or is nearest; what to do"."""


class UnknownName(BenchError):
    """An unknown method, trainer, suite, judge, recipe or setting."""


class RecipeError(BenchError):
    """An invalid recipe; the message lists every error in it."""


class DataError(BenchError):
    """A missing or damaged file, or one with another format than expected."""


class StoreError(BenchError):
    """The store cannot be read or written: full disk, newer version, broken artifact."""


def lines_of(error: BenchError) -> list[str]:
    """The lines of an error: one, or in a plain BenchError or a RecipeError one for each of several faults.

    A line break in another error is of a text that it quotes.
    """
    several = not isinstance(error, UnknownName | DataError | StoreError)
    lines = str(error).split("\n") if several else [str(error)]
    return [line or type(error).__name__ for line in lines]


def nearest(given: str, known: Iterable[str]) -> str:
    """The end of an error message: the closest known name, then all known names."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f'did you mean "{close[0]}"? ' if close else ""
    return f"{hint}(known: {', '.join(names) or 'none'})"
