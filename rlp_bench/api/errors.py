"""A person's mistake is a `BenchError`: one line, exit status 2, no traceback. Everything else is a bug."""

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Where: what was given; what was expected or is nearest; what to do."""


class UnknownName(BenchError):
    """A method, trainer, suite, judge, recipe or setting that nobody offers."""


class RecipeError(BenchError):
    """A recipe with one or more faults; the message lists them all."""


class DataError(BenchError):
    """A file that is missing, broken or not what it should be."""


class StoreError(BenchError):
    """The store cannot be read or written: full disk, newer version, broken artifact."""


def nearest(given: str, known: Iterable[str]) -> str:
    """The end of an error line: the closest known name, then all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f'did you mean "{close[0]}"? ' if close else ""
    return f"{hint}(known: {', '.join(names) or 'none'})"
