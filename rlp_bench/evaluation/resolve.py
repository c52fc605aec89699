"""Loads suites and judges by name: a recipe's alias, an installed name, or a name with an argument."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.api.protocols import Judge, Suite
from rlp_bench.api.types import Item
from rlp_bench.store.store import fingerprint


def load_suite(name: str, aliases: Mapping[str, str]) -> Suite:
    """The suite of that name: the recipe's aliases first, then installed names.

    Raises:
        UnknownName: there is no such alias or suite.
        DataError: the suite has training data only.
    """
    reference = aliases.get(name, name)
    known = registry.names("suite")
    if reference.partition(":")[0] not in known:
        raise UnknownName(f'suite "{name}" is not known: {nearest(name, {*aliases, *known})}')
    suite = registry.resolve("suite", reference)
    if not callable(getattr(suite, "items", None)):
        raise DataError(
            f'suite "{name}": has training data only, nothing to evaluate; {nearest(name, aliases)}'
        )
    found: Suite = suite
    return found


def with_data(name: str, data: Path) -> str:
    """The reference of suite `name` on a file or folder; options after the colon ("mmlu:protocol=lm_eval") are kept."""
    plugin, _, rest = name.partition(":")
    return f"{plugin}:{data}{',' if rest and not rest.startswith('#') else ''}{rest}"


def load_judge(reference: str) -> Judge:
    """The judge "name" or "name:argument" for evaluation.

    Raises:
        DataError: it adds label noise.
    """
    judge: Judge = registry.resolve("judge", reference)
    refuse_noise(reference, judge.manifest())
    return judge


def refuse_noise(reference: str, manifest: Mapping[str, Any]) -> None:
    """Raises DataError for a judge with label noise, which is for training labels only."""
    if manifest.get("noise"):
        raise DataError(
            f'judge "{reference}": flips {manifest["noise"]:.0%} of its verdicts; evaluate without noise'
        )


def rows_left_out(source: Any) -> int:
    """How many rows of its file a suite or judge left out (`left_out`); 0 if it reads no file."""
    return int(getattr(getattr(source, "whole", source), "left_out", 0))


def suite_identity(suite: Suite) -> dict[str, str]:
    """Name and version of the suite, for fingerprints and reports."""
    return {"name": suite.name, "version": suite.version}


def overlap(items: Sequence[Item], others: Mapping[str, Sequence[Item]]) -> tuple[str, int] | None:
    """(the suite among `others` that shares most questions, how many), ignoring case and spacing; None if none does."""
    mine = {_normal(item) for item in items}
    shared = {name: len(mine & {_normal(item) for item in rest}) for name, rest in others.items()}
    best = max(shared, key=lambda name: shared[name], default=None)
    return (best, shared[best]) if best is not None and shared[best] else None


def is_subset(items: Sequence[Item], others: Sequence[Item]) -> bool:
    """Whether every item, with its reference answer, is among `others`, so that their verdicts can be reused."""
    return {(i.id, i.reference) for i in items} <= {(i.id, i.reference) for i in others}


def _normal(item: Item) -> str:
    return fingerprint(" ".join(f"{item.instruction} {item.input}".lower().split()))
