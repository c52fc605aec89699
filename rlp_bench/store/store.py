"""Content-addressed store of sealed artifacts: one folder each, built under a lock, the manifest written last.

ROOT/store_version                       "1"; a newer version is an error
ROOT/artifacts/<kind>-<fingerprint[:16]>/  files, metrics.json, meter.json, manifest.json
ROOT/artifacts/.partial-<kind>-...       being built, or left by a killed process; rebuilt from scratch
ROOT/checked/<kind>-<fingerprint[:16]>.json  size and times of the files when they were last hashed
ROOT/scratch/<fingerprint[:16]>/         checkpoints of an unfinished stage; kept until it is sealed
ROOT/runs/<recipe>/<method>-s<seed>-.../   run.json, report.json
ROOT/locks/                              empty lock files
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from rlp_bench.api.errors import StoreError
from rlp_bench.api.files import fingerprint as fingerprint
from rlp_bench.api.files import leftovers, remove, write_atomic, write_json
from rlp_bench.api.seals import write_sealed
from rlp_bench.api.types import Artifact
from rlp_bench.store.manifest import (
    MANIFEST,
    STORE_VERSION,
    UNHASHED,
    check_files,
    damaged,
    marks_of,
    read_manifest,
    write_marks,
)
from rlp_bench.store.manifest import hash_file as hash_file

Build = Callable[[Path], Mapping[str, float] | None]


def hash_folder(folder: Path, hash_one: Callable[[Path], str] = hash_file) -> dict[str, str]:
    """Relative name -> sha256 of every content file in a folder and its subfolders."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: hash_one(path) for name, path in names.items() if name not in UNHASHED | {MANIFEST}}


class Store:
    """A store folder, shared by runs and processes."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.artifacts = self.root / "artifacts"
        self.runs = self.root / "runs"
        self.checked = self.root / "checked"
        self._check_version()

    def _check_version(self) -> None:
        try:
            text = (self.root / "store_version").read_text().strip()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(
                f'store "{self.root}": cannot be read ({error.strerror}); give another --store'
            ) from None
        except ValueError:
            text = "(not text)"
        if not text.isdecimal() or len(text) > 9 or int(text) > STORE_VERSION:
            raise StoreError(
                f'store "{self.root}" has version {text[:20] or "(empty)"}, this rlp-bench knows up to '
                f"{STORE_VERSION}: upgrade rlp-bench or give another --store"
            )

    def folder(self, kind: str, fp: str) -> Path:
        """The folder of a sealed artifact."""
        return self.artifacts / f"{kind}-{fp[:16]}"

    def scratch(self, fp: str) -> Path:
        """The folder for checkpoints of an unfinished stage (created by the caller)."""
        return self.root / "scratch" / fp[:16]

    def has(self, kind: str, fp: str) -> bool:
        """Whether the artifact exists and is sealed."""
        return (self.folder(kind, fp) / MANIFEST).exists()

    def get(self, kind: str, fp: str) -> Artifact:
        """A sealed artifact.

        Raises:
            StoreError: it is missing, damaged, or from a newer version.
        """
        return self.open(self.folder(kind, fp), fp)

    def open(self, folder: Path, fp: str | None = None, always: bool = False) -> Artifact:
        """The artifact in `folder`, after the check of its manifest and its files (`manifest.check_files`)."""
        try:
            manifest = read_manifest(folder)
        except FileNotFoundError:
            raise StoreError(f'artifact "{folder.name}": is not in store "{self.root}"') from None
        if fp is not None and manifest["fingerprint"] != fp:
            raise damaged(folder, "its fingerprint differs from the expected one")
        check_files(folder, manifest, self._memo(folder.name), always)
        return Artifact(manifest["kind"], manifest["fingerprint"], folder, manifest)

    def file(self, name: str) -> Path:
        """The path of an artifact's file, "artifacts/<artifact>/<file>", after the check of the artifact.

        Raises:
            StoreError: the name is of no artifact's file, or the artifact is missing or damaged.
        """
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or parts[0] != "artifacts" or ".." in parts:
            raise StoreError(f'store "{self.root}": "{name}" is not the name of an artifact\'s file')
        artifact = self.open(self.artifacts / parts[1])
        if "/".join(parts[2:]) not in artifact.manifest["files"]:
            raise damaged(artifact.path, f"{'/'.join(parts[2:])} is missing or has another size")
        return self.root / name

    def _memo(self, name: str) -> Path:
        return self.checked / f"{name}.json"

    def all(self) -> Iterator[Artifact]:
        """Yields every sealed artifact, sorted by name; raises StoreError for a damaged one."""
        for folder in self.folders():
            yield self.open(folder)

    def folders(self) -> list[Path]:
        """The folders of all sealed artifacts, sorted by name."""
        return sorted(path.parent for path in self.artifacts.glob(f"[!.]*/{MANIFEST}"))

    def make(
        self,
        kind: str,
        fp: str,
        build: Build,
        provenance: Mapping[str, Any],
        waiting: Callable[[], None] = lambda: None,
    ) -> Artifact:
        """The existing artifact, or a new one built by `build(partial folder)`, which returns its metrics.

        Waits for another process that builds the same artifact (`waiting` is called once). A failed or killed build
        leaves nothing that `get` would return.
        """
        if self.has(kind, fp):
            return self.get(kind, fp)
        with self.errors_as_lines():
            self._prepare()
            with self._lock(kind, fp, waiting):
                if not self.has(kind, fp):
                    self._build(kind, fp, build, provenance)
        return self.get(kind, fp)

    def _prepare(self) -> None:
        for folder in (self.artifacts, self.root / "locks"):
            folder.mkdir(parents=True, exist_ok=True)
        version = self.root / "store_version"
        if not version.exists():
            with self.writing(version):
                write_atomic(version, f"{STORE_VERSION}\n".encode())

    def lock_of(self, name: str) -> FileLock:
        """The lock held while the artifact `name` (kind-16 hex) is built or removed."""
        return FileLock(self.root / "locks" / f"{name}.lock")

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Held while a file outside `artifacts` is read, changed and written; removes what a killed writer left.

        Args:
            path: the file, or the folder whose files are written.
        """
        with self.errors_as_lines():
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            name = "-".join(path.relative_to(self.root).parts)
            with self.lock_of(name):
                for leftover in leftovers(path):
                    remove(leftover)
                yield

    @contextmanager
    def _lock(self, kind: str, fp: str, waiting: Callable[[], None]) -> Iterator[None]:
        lock = self.lock_of(self.folder(kind, fp).name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _build(self, kind: str, fp: str, build: Build, provenance: Mapping[str, Any]) -> None:
        final = self.folder(kind, fp)
        partial = self.artifacts / f".partial-{final.name}"
        for leftover in (partial, final):  # of a killed process; a folder without a manifest is no artifact
            if leftover.exists():
                shutil.rmtree(leftover)
        partial.mkdir()
        try:
            metrics = build(partial)
            if metrics is not None:
                write_json(partial / "metrics.json", dict(metrics))
            manifest = seal(partial, kind, fp, provenance)
            partial.rename(final)
            write_marks(self._memo(final.name), manifest["content"], marks_of(final, manifest["files"]))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    @contextmanager
    def errors_as_lines(self) -> Iterator[None]:
        """Turns a full or read-only disk into a StoreError; other exceptions pass."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
                raise StoreError(
                    f'store "{self.root}": cannot be written ({error}); give another --store'
                ) from error
            if disk_full(error):
                raise self._full() from error
            raise
        except Exception as error:
            if disk_full(error):
                raise self._full() from error
            raise

    def _full(self) -> StoreError:
        return StoreError(
            f'store "{self.root}": the disk is full; no partial artifact was kept; free space '
            "(`rlp-bench gc`) or give another --store, then run the same command to resume"
        )


def disk_full(error: BaseException) -> bool:
    """Whether an error means "no space left on device"; libraries wrap the OSError in their own exceptions."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return not isinstance(error, OSError) and os.strerror(errno.ENOSPC) in str(error)


def seal(folder: Path, kind: str, fp: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Hashes the files, syncs them to disk, then writes the manifest, and returns it."""
    files = hash_folder(folder)
    if not files:
        raise StoreError(f'artifact "{kind}-{fp[:16]}": its stage wrote no file')
    for name in files:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
    manifest = {
        "store_version": STORE_VERSION,
        "kind": kind,
        "fingerprint": fp,
        "provenance": dict(provenance),
        "files": files,
        "bytes": {name: (folder / name).stat().st_size for name in files},
        "content": fingerprint(files),
    }
    write_sealed(folder / MANIFEST, manifest)
    return manifest
