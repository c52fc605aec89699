"""A real store and ten items."""

from pathlib import Path

import pytest

from rlp_bench.api.types import Item
from rlp_bench.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def items() -> list[Item]:
    """Ten items in two subsets; the reference says nothing good."""
    return [
        Item(f"ask {i}", subset="even" if i % 2 == 0 else "odd", category="c", reference=f"plain {i}")
        for i in range(10)
    ]
