"""Garbage collection of a store."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import Timeout

from rlp_bench.api.errors import DataError, StoreError
from rlp_bench.api.files import leftovers, remove
from rlp_bench.api.seals import read_sealed
from rlp_bench.api.types import Artifact
from rlp_bench.store.store import Store

EVALUATIONS = ("outputs", "verdicts", "tuning")
"""Kinds of artifacts that only evaluations make."""


@dataclass
class Garbage:
    """What `gc` removes, its size in bytes, and what it could not read."""

    folders: list[Path] = field(default_factory=list)
    bytes: int = 0
    faults: list[str] = field(default_factory=list)
    """One line for each damaged run record, and each damaged evaluation; these are kept."""

    def add(self, folder: Path) -> None:
        """Adds one folder or file and its size."""
        self.folders.append(folder)
        for path in [folder, *folder.rglob("*")]:
            with suppress(OSError):  # another process removes it, too
                self.bytes += path.stat().st_size if path.is_file() else 0


def collect(store: Store, dry_run: bool = False) -> Garbage:
    """Removes artifacts of stages that are damaged or needed by no run, partial folders and old scratch folders.

    Evaluations are never removed: answers and verdicts cost money, also those of no run. Unfinished runs need their
    stages, too. If a run's record is damaged, what it needs is unknown, and all artifacts and scratch folders are
    kept. Artifacts that another process is building now are kept.
    """
    garbage = Garbage()
    wanted = set(_named_in_runs(store, garbage))
    sound = list(_sound(store))
    whole = not garbage.faults
    garbage.faults += [
        f"{line}; it is an evaluation and was kept" for line in _damaged_evaluations(store, sound)
    ]
    kept = {artifact.path for artifact in _reachable(sound, wanted)}
    for folder in [*store.folders(), *store.artifacts.glob(".partial-*")]:
        if folder not in kept and (folder.name.startswith(".") or (whole and not _is_evaluation(folder))):
            _remove(store, folder, [folder.name.removeprefix(".partial-")], garbage, dry_run)
    sealed = {folder.name.partition("-")[2] for folder in store.folders()}
    for folder in sorted((store.root / "scratch").glob("*")):
        unknown = whole and not any(name.endswith(folder.name) for name in wanted)
        if folder.name in sealed or unknown:
            locks = (store.root / "locks").glob(f"*-{folder.name}.lock")
            _remove(store, folder, [lock.stem for lock in locks], garbage, dry_run)
    _remove_leftovers(store, garbage, dry_run)
    return garbage


def _remove_leftovers(store: Store, garbage: Garbage, dry_run: bool) -> None:
    """Temporary files of killed writers, and marks of artifacts that are gone."""
    for folder in [
        *store.runs.glob("*/*"),
        *(store.root / "matrix").glob("*"),
        *store.runs.glob("*/*/tracking/*"),
    ]:
        for found in leftovers(folder) if folder.is_dir() else []:
            _remove(store, found, ["-".join(folder.relative_to(store.root).parts)], garbage, dry_run)
    for memo in store.checked.glob("*.json"):
        if not dry_run and not (store.artifacts / memo.stem).exists():
            memo.unlink(missing_ok=True)


def _remove(store: Store, folder: Path, locks: list[str], garbage: Garbage, dry_run: bool) -> None:
    """Removes a folder or a file, unless another process holds one of the locks: it is being written now."""
    (store.root / "locks").mkdir(exist_ok=True)
    with ExitStack() as held:
        try:
            for name in locks:
                held.enter_context(store.lock_of(name).acquire(timeout=0))
        except Timeout:
            return
        garbage.add(folder)
        if dry_run:
            return
        if folder.parent == store.artifacts and not folder.name.startswith("."):
            # Rename first, so that a kill during rmtree leaves no incomplete artifact with a manifest.
            hidden = folder.with_name(f".partial-{folder.name}")
            shutil.rmtree(hidden, ignore_errors=True)
            folder = folder.rename(hidden)
        remove(folder)


def _reachable(sound: list[Artifact], wanted: set[str]) -> list[Artifact]:
    """The evaluations, the artifacts named by a run, and all inputs of these."""
    everything = {artifact.fingerprint: artifact for artifact in sound}
    texts = {fp: json.dumps(artifact.manifest["provenance"]) for fp, artifact in everything.items()}
    waiting = [fp for fp in everything if any(name.endswith(fp[:16]) for name in wanted)]
    kept = {fp for fp, artifact in everything.items() if _evaluates(artifact)}
    while waiting:
        one = waiting.pop()
        if one in kept:
            continue
        kept.add(one)
        waiting += [fp for fp in everything if fp in texts[one]]
    return [everything[fp] for fp in sorted(kept)]


def _evaluates(artifact: Artifact) -> bool:
    """Whether an evaluation made it: a step of one, or the policy that stands for an endpoint."""
    made = artifact.manifest["provenance"]
    return "step" in made or "endpoint" in made or _is_evaluation(artifact.path)


def _is_evaluation(folder: Path) -> bool:
    return folder.name.partition("-")[0] in EVALUATIONS


def _sound(store: Store) -> Iterator[Artifact]:
    for folder in store.folders():
        with suppress(StoreError):  # damaged and unusable, so it is garbage unless it is an evaluation
            yield store.open(folder)


def _damaged_evaluations(store: Store, sound: list[Artifact]) -> Iterator[str]:
    known = {artifact.path for artifact in sound}
    for folder in store.folders():
        if folder not in known and _is_evaluation(folder):
            try:
                store.open(folder)
            except StoreError as error:
                yield str(error)


def _named_in_runs(store: Store, garbage: Garbage) -> Iterator[str]:
    """`kind-<16 hex>` of every stage of every run, finished or not; adds damaged records to `garbage.faults`."""
    remedy = (
        "what it needs is unknown, so no artifact was removed; run its command again, or remove its folder"
    )
    for path in sorted(store.runs.glob("*/*/run.json")):
        try:
            found = read_sealed(path, f'run "{path.parent}"', remedy)
            yield from [f"{stage['kind']}-{stage['fingerprint'][:16]}" for stage in found["stages"]]
        except FileNotFoundError:
            continue  # removed just now
        except DataError as error:
            garbage.faults.append(str(error))
        except (KeyError, TypeError):
            garbage.faults.append(f'run "{path.parent}": {path.name} names no stages; {remedy}')
