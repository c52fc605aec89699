"""Verifies the files of all artifacts against the hashes in their manifests."""

from collections.abc import Iterator
from typing import Any

from rlp_bench.api.errors import StoreError
from rlp_bench.api.types import Artifact
from rlp_bench.store.manifest import MANIFEST, UNHASHED
from rlp_bench.store.store import Store


def verify(store: Store) -> Iterator[dict[str, Any]]:
    """Hashes every file of every artifact; yields {artifact, ok, problem}."""
    for folder in store.folders():
        problem = ""
        try:
            artifact = store.open(folder, always=True)
        except StoreError as error:
            problem = str(error)
        else:
            extra = _unlisted(artifact)
            if extra:
                problem = f"not listed in its manifest: {', '.join(extra)}; remove them"
        yield {"artifact": folder.name, "ok": not problem, "problem": problem}


def _unlisted(artifact: Artifact) -> list[str]:
    listed = {*artifact.manifest["files"], *UNHASHED, MANIFEST}
    names = (p.relative_to(artifact.path).as_posix() for p in artifact.path.rglob("*") if p.is_file())
    return sorted(name for name in names if name not in listed)
