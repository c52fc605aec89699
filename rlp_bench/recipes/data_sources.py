"""A recipe's training data: sources are opened by name, and every row is returned or listed as dropped.

A source is a suite plug-in with `split(name, n)`. Optional methods: `version_of(name)`, its version with a content hash
of the split, so that a changed file changes the artifact; `drops(name, n)`, {row, reason} of each of the first n rows
that `split` drops (n then counts the rows read, not those kept); `available(name)`, the number of rows of a split where
it is known without reading them; `utility(instruction, response, finished)`, the gold
utility of a response.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, RecipeError
from rlp_bench.api.hub import SCHEME

SPLITS = {"sft": "demonstrations", "preferences": "prompts", "unlabeled": "prompts", "dev": "prompts"}
"""Training split of the data source -> kind of its artifact."""
FROM_FILES = {"pairs": ("preferences_from", "preferences"), "strengths": ("strengths_from", "strengths")}
"""Split of another source -> keys of [data] with the source and the number of rows; its kind is "pairs"."""

Row = Mapping[str, Any]
Response = tuple[str, bool]
"""(text, whether it ends with EOS) of a response."""
Utility = Callable[[str, str, bool], float]
"""(instruction, response, whether it ends with EOS) -> gold utility; for curves, never passed to a trainer."""


def data_keys(split: str) -> tuple[str, str, str]:
    """(key of [data] with the source of a split, key with its number of rows, kind of its artifact)."""
    where, key = FROM_FILES.get(split, ("source", split))
    return where, key, "pairs" if split in FROM_FILES else SPLITS.get(split, split)


def open_source(reference: str) -> Any:
    """The source of "name" or "name:argument"; hf:// files are downloaded when their rows are first read.

    Raises:
        BenchError: the name is unknown, the suite has no training splits, or its argument is invalid.
    """
    remote = SCHEME in reference
    source = HubSource(reference) if remote else registry.resolve("suite", reference)
    if not callable(getattr(source.plugin if remote else source, "split", None)):
        raise RecipeError(f'suite "{reference}" has no training splits; name a suite with training splits')
    return source


class HubSource:
    """A source with an hf:// argument; its commit identifies the files before they are downloaded."""

    remote = True
    """Its rows are read from a hub."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.plugin = registry.load("suite", reference.partition(":")[0])
        self.version = str(self.plugin.version)

    def version_of(self, name: str) -> str:
        """The plug-in's version; the reference contains the commit."""
        return self.version

    def split(self, name: str, n: int | None = None) -> list[dict[str, Any]]:
        """The plug-in's split."""
        found: list[dict[str, Any]] = self._source.split(name, n)
        return found

    def drops(self, name: str, n: int | None = None) -> list[dict[str, Any]] | None:
        """The plug-in's dropped rows; None where it does not implement `drops`."""
        return drops_of(self._source, name, n)

    @property
    def utility(self) -> Utility | None:
        """The plug-in's utility; None where it does not implement one."""
        found: Utility | None = getattr(self._source, "utility", None)
        return found

    @cached_property
    def _source(self) -> Any:
        return registry.resolve("suite", self.reference)


def identity(reference: str, source: Any, split: str, count: int) -> dict[str, Any]:
    """The identity of a split, from which its fingerprint is computed."""
    version_of = getattr(source, "version_of", None)
    version = source.version if version_of is None else version_of(split)
    return {"trainer": "data", "suite": reference, "version": version, "split": split, "n": count}


def drops_of(source: Any, split: str, count: int | None) -> list[dict[str, Any]] | None:
    """The rows that a source drops, with reasons; None where it does not implement `drops`."""
    drops = getattr(source, "drops", None)
    found: list[dict[str, Any]] | None = None if drops is None else drops(split, count)
    return found


def utilities(source: Any, instruction: str, responses: Sequence[Response]) -> list[float] | None:
    """Gold utility of each response; None where the source does not implement `utility`."""
    utility: Utility | None = getattr(source, "utility", None)
    return None if utility is None else [utility(instruction, *response) for response in responses]


def read_split(
    reference: str, source: Any, split: str, count: int
) -> tuple[Sequence[Row], Sequence[Row], Mapping[str, float] | None]:
    """(rows, dropped rows with reasons, metrics) of the first `count` rows of a split.

    Raises:
        BenchError: kept and dropped rows are not `count` rows together, or all rows are dropped.
    """
    rows, drops = source.split(split, count), drops_of(source, split, count)
    if len(rows) + len(drops or ()) != count:
        raise BenchError(f'data.{split}: {count} rows requested, "{reference}" has {len(rows)}')
    if drops is None:
        return rows, [], None
    reasons = [str(drop["reason"]) for drop in drops]
    if not rows:
        raise BenchError(
            f'data.{split}: "{reference}" drops all of its first {count} rows ({", ".join(sorted(set(reasons)))})'
        )
    counts = {f"dropped_{reason}": float(reasons.count(reason)) for reason in sorted(set(reasons))}
    return rows, drops, {"rows_in": float(count), "rows_used": float(len(rows)), **counts}
