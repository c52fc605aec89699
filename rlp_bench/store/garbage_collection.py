"""Keeping a store clean and sound: garbage collection and verification."""

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
"""Kinds that stay as long as what they were made from stays: judges are dear."""


@dataclass
class Garbage:
    """What `gc` removes."""

    folders: list[Path] = field(default_factory=list)
    bytes: int = 0

    def add(self, folder: Path) -> None:
        """One folder, with the size of its files."""
        self.folders.append(folder)
        self.bytes += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def collect(store: Store, dry_run: bool = False) -> Garbage:
    """Removes artifacts that no run needs or that are damaged, partial folders and old scratch.

    A run that has begun needs its stages as much as one that is finished. What another process is making
    at this moment stays.
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
        return  # being made now
    try:
        garbage.add(folder)
        if not dry_run:
            # Out of sight first: a kill in the middle of rmtree leaves no half artifact with a manifest.
            hidden = folder if folder.name.startswith(".") else folder.with_name(f".partial-{folder.name}")
            if hidden != folder:
                shutil.rmtree(hidden, ignore_errors=True)
                folder.rename(hidden)
            shutil.rmtree(hidden)
    finally:
        lock.release()


def reachable(store: Store) -> list[Artifact]:
    """Artifacts that a run names, all their inputs, and the outputs and verdicts made from them."""
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
        with suppress(StoreError):  # damaged: nobody can use it, so it is garbage
            yield store.open(folder)


def _named_in_runs(store: Store) -> Iterator[str]:
    """`kind-<16 hex>` of every stage of every run, finished or not."""
    for record in sorted(store.runs.glob("*/*/run.json")):
        for stage in json.loads(record.read_text(encoding="utf-8"))["stages"]:
            yield f"{stage['kind']}-{stage['fingerprint'][:16]}"
