"""A recipe's training data: opened by name, read with every row accounted for.

A source is a suite plugin with `split(name, n)`. It may also offer `version_of(name)` (its version with a hash of that
split's content: another file is another artifact) and `drops(name, n)` ({row, reason} of each of the first n rows that
`split` leaves out); then n is the number of rows that are read, not of those that remain. A source that knows what a
response is worth offers `utility(instruction, response, finished)`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, RecipeError
from rlp_bench.api.hub import SCHEME

Row = Mapping[str, Any]
Response = tuple[str, bool]
"""A response's text, and whether it ended by itself."""
Utility = Callable[[str, str, bool], float]
"""(instruction, response, whether it ended by itself) -> gold utility: for curves, never for a trainer."""


def open_source(reference: str) -> Any:
    """The source "name" or "name:argument"; files of a hub are fetched when their rows are asked for, not before.

    Raises:
        BenchError: nobody offers the name, it has no training splits, or the source refuses its argument.
    """
    remote = SCHEME in reference
    source = HubSource(reference) if remote else registry.resolve("suite", reference)
    if not callable(getattr(source.plugin if remote else source, "split", None)):
        raise RecipeError(f'suite "{reference}" has no training splits; name one that has')
    return source


class HubSource:
    """A source whose argument names files of a hub at a commit: the commit says what they are before they are here."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.plugin = registry.load("suite", reference.partition(":")[0])
        self.version = str(self.plugin.version)

    def version_of(self, name: str) -> str:
        """The plugin's version; the commit is in the reference."""
        return self.version

    def split(self, name: str, n: int | None = None) -> list[dict[str, Any]]:
        """The plugin's split."""
        found: list[dict[str, Any]] = self._source.split(name, n)
        return found

    def drops(self, name: str, n: int | None = None) -> list[dict[str, Any]] | None:
        """The plugin's drops; None where it has none to tell."""
        return drops_of(self._source, name, n)

    @property
    def utility(self) -> Utility | None:
        """The plugin's utility; None where it has none."""
        found: Utility | None = getattr(self._source, "utility", None)
        return found

    @cached_property
    def _source(self) -> Any:
        return registry.resolve("suite", self.reference)


def identity(reference: str, source: Any, split: str, count: int) -> dict[str, Any]:
    """What is fingerprinted of a split."""
    told = getattr(source, "version_of", None)
    version = source.version if told is None else told(split)
    return {"trainer": "data", "suite": reference, "version": version, "split": split, "n": count}


def drops_of(source: Any, split: str, count: int | None) -> list[dict[str, Any]] | None:
    """What a source says that it leaves out; None from one that leaves nothing out."""
    told = getattr(source, "drops", None)
    found: list[dict[str, Any]] | None = None if told is None else told(split, count)
    return found


def utilities(source: Any, instruction: str, responses: Sequence[Response]) -> list[float] | None:
    """Gold utility of each response; None from a source that does not know it."""
    utility: Utility | None = getattr(source, "utility", None)
    return None if utility is None else [utility(instruction, *response) for response in responses]


def read_split(
    reference: str, source: Any, split: str, count: int
) -> tuple[Sequence[Row], Sequence[Row], Mapping[str, float] | None]:
    """(rows, rows left out with their reasons, metrics) of the first `count` rows of a split.

    Raises:
        BenchError: what is there and what was left out are not `count` rows together, or nothing is there.
    """
    rows, drops = source.split(split, count), drops_of(source, split, count)
    if len(rows) + len(drops or ()) != count:
        raise BenchError(f'data.{split}: {count} rows asked for, "{reference}" has {len(rows)}')
    if drops is None:
        return rows, [], None
    reasons = [str(drop["reason"]) for drop in drops]
    if not rows:
        raise BenchError(
            f'data.{split}: "{reference}" leaves out all of its first {count} rows ({", ".join(sorted(set(reasons)))})'
        )
    counts = {f"dropped_{reason}": float(reasons.count(reason)) for reason in sorted(set(reasons))}
    return rows, drops, {"rows_in": float(count), "rows_used": float(len(rows)), **counts}
