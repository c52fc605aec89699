"""Judged pairs a second against a stub server, beside the same requests sent by a bare asyncio loop.

The bare loop is what one writes in ten lines: the same `openai` client, one semaphore, `gather`; no cache, no
retries, no parsing, no budget. Both ask the same server, in a process of its own, which answers after 20 ms.
"""

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comparison import clocked, compare

from rlp_bench.api.types import Pair
from rlp_bench.judges.chat import Chat

STUB = Path(__file__).parents[1] / "tests" / "judges" / "stub_server.py"
PAIRS = [
    Pair(f"Tell me about subject {item}.", "It is " + "very " * (item % 60), "No " * (item % 40))
    for item in range(805)
]
AT_ONCE = 100


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("stub") / "log"
    command = [sys.executable, str(STUB), json.dumps({"delay": 0.02}), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


async def bare(url: str, bodies: list[dict[str, Any]]) -> list[str]:
    """The replies, by the shortest program that keeps AT_ONCE requests under way."""
    from openai import AsyncOpenAI

    turn = asyncio.Semaphore(AT_ONCE)
    async with AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

        async def one(body: dict[str, Any]) -> str:
            async with turn:
                found = await client.chat.completions.create(**body)
                return found.choices[0].message.content or ""

        return await asyncio.gather(*(one(body) for body in bodies))


def test_judging_beside_a_bare_loop(
    benchmark: Any, lines: list[str], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLP_BENCH_CACHE", str(tmp_path))
    judge = Chat(f"judge-1,base_url={url},max_concurrency={AT_ONCE}")
    seeds = itertools.count()

    def ours() -> float:
        """A new seed is a new request: nothing comes from the cache."""
        return sum(verdict.preference is not None for verdict in judge.judge(PAIRS, next(seeds)))

    def peer() -> float:
        seed = next(seeds)
        replies = asyncio.run(bare(url, [judge.asking.request(pair, seed).body() for pair in PAIRS]))
        return sum(reply in ("A", "B") for reply in replies)

    compare(
        benchmark, lines, "805 pairs, stub server, 20 ms an answer", "pairs", clocked(ours), clocked(peer), rounds=5
    )  # fmt: skip
    assert judge.spent()["cached"] == 0


def test_judging_from_the_cache(
    benchmark: Any, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLP_BENCH_CACHE", str(tmp_path))
    judge = Chat(f"judge-1,base_url={url}")
    first = judge.judge(PAIRS)
    again = benchmark.pedantic(lambda: Chat(f"judge-1,base_url={url}").judge(PAIRS), rounds=5)
    assert again == first
    benchmark.extra_info["pairs_per_second"] = len(PAIRS) / benchmark.stats.stats.median
