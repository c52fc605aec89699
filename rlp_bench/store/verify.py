"""Verifies the files of all artifacts against the hashes in their manifests."""

from collections.abc import Iterator
from typing import Any

from rlp_bench.api.errors import StoreError
from rlp_bench.api.types import Artifact
from rlp_bench.store.store import UNHASHED, Store, hash_file


def verify(store: Store) -> Iterator[dict[str, Any]]:
    """Hashes every file of every artifact; yields {artifact, ok, problem}."""
    for folder in store.folders():
        problem = ""
        try:
            artifact = store.open(folder)
        except StoreError as error:
            problem = str(error)
        else:
            wrong = [
                name
                for name, known in artifact.manifest["files"].items()
                if hash_file(folder / name) != known
            ]
            extra = _unlisted(artifact)
            if wrong or extra:
                problem = f"changed: {', '.join(wrong) or 'none'}; not listed: {', '.join(extra) or 'none'}"
        yield {"artifact": folder.name, "ok": not problem, "problem": problem}


def _unlisted(artifact: Artifact) -> list[str]:
    listed = {*artifact.manifest["files"], *UNHASHED, "manifest.json"}
    names = (p.relative_to(artifact.path).as_posix() for p in artifact.path.rglob("*") if p.is_file())
    return sorted(name for name in names if name not in listed)
