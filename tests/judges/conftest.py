"""A cache of its own for every test, and no key of the person who runs them."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache file that judges use by default."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RLP_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "answers.sqlite"
