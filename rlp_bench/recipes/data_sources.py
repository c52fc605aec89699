"""A recipe's training data: opened by name, read with every row accounted for.

A source is a suite plugin with `split(name, n)`. It may also offer `version_of(name)` (its version with a hash of that
split's content: another file is another artifact) and `drops(name, n)` ({row, reason} of each of the first n rows that
`split` leaves out); then n is the number of rows that are read, not of those that remain.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.recipes.hub import SCHEME, localize

Row = Mapping[str, Any]


def open_source(reference: str) -> Any:
    """The source "name" or "name:argument"; files of a hub are fetched when their rows are asked for, not before."""
    name, _, argument = reference.partition(":")
    plugin = registry.load("suite", name)
    return HubSource(plugin, argument) if SCHEME in argument else plugin(argument)


class HubSource:
    """A source whose argument names files of a hub at a commit: the commit says what they are before they are here."""

    def __init__(self, plugin: Any, argument: str) -> None:
        self.plugin, self.argument, self._opened = plugin, argument, None
        self.version = str(plugin.version)

    def version_of(self, name: str) -> str:
        """The plugin's version; the commit is in the reference."""
        return self.version

    def split(self, name: str, n: int | None = None) -> list[dict[str, Any]]:
        """The plugin's split."""
        found: list[dict[str, Any]] = self._source().split(name, n)
        return found

    def drops(self, name: str, n: int | None = None) -> list[dict[str, Any]] | None:
        """The plugin's drops; None where it has none to tell."""
        return drops_of(self._source(), name, n)

    def _source(self) -> Any:
        if self._opened is None:
            self._opened = self.plugin(localize(self.argument))
        return self._opened


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
