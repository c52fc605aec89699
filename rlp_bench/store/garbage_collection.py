"""Garbage collection of a store."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import Timeout

from rlp_bench.api.errors import StoreError
from rlp_bench.api.types import Artifact
from rlp_bench.store.store import Store

DERIVED = ("outputs", "verdicts")
"""Kinds that are kept as long as an artifact they were made from is kept: verdicts are expensive."""


@dataclass
class Garbage:
    """The folders that `gc` removes, and their size in bytes."""

    folders: list[Path] = field(default_factory=list)
    bytes: int = 0

    def add(self, folder: Path) -> None:
        """Adds one folder and the size of its files."""
        self.folders.append(folder)
        self.bytes += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def collect(store: Store, dry_run: bool = False) -> Garbage:
    """Removes artifacts that are damaged or needed by no run, partial folders and old scratch folders.

    Unfinished runs need their stages, too. Artifacts that another process is building now are kept.
    """
    garbage = Garbage()
    kept = {artifact.path for artifact in reachable(store)}
    for folder in [*store.folders(), *store.artifacts.glob(".partial-*")]:
        if folder not in kept:
            _remove(store, folder, folder.name.removeprefix(".partial-"), garbage, dry_run)
    sealed = {folder.name.partition("-")[2] for folder in store.folders()}
    wanted = set(_named_in_runs(store))
    for folder in sorted((store.root / "scratch").glob("*")):
        if folder.name in sealed or not any(name.endswith(folder.name) for name in wanted):
            garbage.add(folder)
            if not dry_run:
                shutil.rmtree(folder)
    return garbage


def _remove(store: Store, folder: Path, name: str, garbage: Garbage, dry_run: bool) -> None:
    (store.root / "locks").mkdir(exist_ok=True)
    lock = store.lock_of(name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return  # being built now
    try:
        garbage.add(folder)
        if not dry_run:
            # Rename first, so that a kill during rmtree leaves no incomplete artifact with a manifest.
            hidden = folder if folder.name.startswith(".") else folder.with_name(f".partial-{folder.name}")
            if hidden != folder:
                shutil.rmtree(hidden, ignore_errors=True)
                folder.rename(hidden)
            shutil.rmtree(hidden)
    finally:
        lock.release()


def reachable(store: Store) -> list[Artifact]:
    """Artifacts named by a run, all their inputs, and the outputs and verdicts made from them."""
    everything = {artifact.fingerprint: artifact for artifact in _sound(store)}
    texts = {fp: json.dumps(artifact.manifest["provenance"]) for fp, artifact in everything.items()}
    waiting = [fp for fp in everything if any(name.endswith(fp[:16]) for name in _named_in_runs(store))]
    kept: set[str] = set()
    while waiting:
        one = waiting.pop()
        if one in kept:
            continue
        kept.add(one)
        waiting += [fp for fp in everything if fp in texts[one]]
        waiting += [fp for fp in everything if everything[fp].kind in DERIVED and one in texts[fp]]
    return [everything[fp] for fp in sorted(kept)]


def _sound(store: Store) -> Iterator[Artifact]:
    for folder in store.folders():
        with suppress(StoreError):  # damaged and unusable, so it is garbage
            yield store.open(folder)


def _named_in_runs(store: Store) -> Iterator[str]:
    """`kind-<16 hex>` of every stage of every run, finished or not."""
    for record in sorted(store.runs.glob("*/*/run.json")):
        for stage in json.loads(record.read_text(encoding="utf-8"))["stages"]:
            yield f"{stage['kind']}-{stage['fingerprint'][:16]}"
