"""Pairs to judge, a judge that asks a stub, and what is in a cache."""

import sqlite3
from pathlib import Path
from typing import Any

from stub_server import Stub

from rlp_bench.api.types import Pair
from rlp_bench.judges.chat import Chat


def pairs_of(n: int) -> list[Pair]:
    """n items in both orders, 2 n pairs."""
    asked = [
        (f"What is {item} and {item % 7}?", f"It is {item}.", f"Nobody knows {item}!") for item in range(n)
    ]
    return [Pair(q, *answers) for q, a, b in asked for answers in ((a, b), (b, a))]


def chat(stub: Stub | str, more: str = "", model: str = "judge-1", **options: Any) -> Chat:
    """A judge over the stub: quick to try again, patient enough for a busy machine."""
    given = {
        "base_url": stub if isinstance(stub, str) else stub.url,
        "timeout": 300,
        "first_pause": 0.01,
        **options,
    }
    text = ",".join(f"{name}={value}" for name, value in given.items())
    return Chat(f"{model},{text}{',' + more if more else ''}")


def rows(cache: Path, columns: str = "key, reason") -> list[tuple[Any, ...]]:
    """What the cache holds."""
    with sqlite3.connect(cache) as db:
        return db.execute(f"SELECT {columns} FROM answers ORDER BY key").fetchall()
