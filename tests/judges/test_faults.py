"""805 items in both orders against a server that fails 30 % of requests, and the same run killed half way."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from judging import chat, pairs_of, rows
from stub_server import Stub

from rlp_bench.api.types import Verdict

ITEMS = 805
KILLED_ITEMS = 300
UNDER_WAY = 40
TIMEOUT = 10
"""Seconds until a request is given up that the server lets hang: far more than an answer takes on a busy machine."""
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def undisturbed() -> list[Verdict]:
    """The verdicts of a server that never fails: what it would say to each request, read off without a network."""
    stub, judge = Stub(), chat("http://127.0.0.1:1/v1")
    found = []
    for pair in pairs_of(ITEMS):
        body = judge.asking.request(pair, 0).body()
        text = stub.answer(body, stub.key(body))["choices"][0]["message"]["content"]
        found.append(Verdict({"A": 1.0, "B": 0.0}[text], raw=text))
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """(address, log) of a failing server in a process of its own."""
    log = tmp_path / "server.log"
    options = json.dumps({"faults": 0.3, "retry_after": "0.01"})
    command = [sys.executable, str(HERE / "stub_server.py"), options, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), log
        process.kill()


def outcomes(log: Path) -> list[tuple[str, str]]:
    """(request, what happened to it), in the order in which it happened."""
    return [(key, what) for key, what in (line.split() for line in log.read_text().splitlines())]


def paid(log: Path) -> Counter[str]:
    """Whole answers by request."""
    return Counter(key for key, what in outcomes(log) if what == "ok")


def test_every_item_is_judged_and_none_is_paid_twice_though_30_percent_of_requests_fail(
    server: tuple[str, Path], cache: Path, undisturbed: list[Verdict]
) -> None:
    url, log = server
    judge = chat(url, timeout=TIMEOUT, max_concurrency=UNDER_WAY)
    assert judge.judge(pairs_of(ITEMS)) == undisturbed
    happened = Counter(what for _, what in outcomes(log))
    assert set(happened) == {"ok", "429", "500", "timeout", "cut", "malformed", "empty", "no_choices"}
    assert 0.25 < 1 - happened["ok"] / happened.total() < 0.35
    assert len(paid(log)) == 2 * ITEMS
    assert set(paid(log).values()) == {1}
    assert judge.spent()["sent"] == happened.total()
    assert judge.spent()["rate_limited"] == happened["429"]

    assert chat(url).judge(pairs_of(ITEMS)) == undisturbed  # all from the cache
    assert len(outcomes(log)) == happened.total()
    assert len(rows(cache)) == 2 * ITEMS


RUN = """
import sys
sys.path.insert(0, {here!r})
from judging import chat, pairs_of
chat({url!r}, provider="stub", timeout={timeout}, max_concurrency={under_way}).judge(pairs_of({items}))
"""


def test_a_killed_run_resumes_at_the_item_and_ends_as_the_undisturbed_one(
    server: tuple[str, Path], cache: Path, undisturbed: list[Verdict]
) -> None:
    url, log = server
    script = RUN.format(here=str(HERE), url=url, timeout=TIMEOUT, under_way=UNDER_WAY, items=KILLED_ITEMS)
    run = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"})
    while run.poll() is None and stored(cache) < KILLED_ITEMS:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL  # it was still at work
    kept, paid_before = dict(rows(cache, "key, response")), paid(log)
    assert KILLED_ITEMS <= len(kept) < 2 * KILLED_ITEMS

    judge = chat(url, provider="stub", timeout=TIMEOUT, max_concurrency=UNDER_WAY)
    assert judge.judge(pairs_of(KILLED_ITEMS)) == undisturbed[: 2 * KILLED_ITEMS]
    assert (paid(log) - paid_before).total() == 2 * KILLED_ITEMS - len(kept)
    twice = [key for key, times in paid(log).items() if times > 1]
    assert len(twice) <= UNDER_WAY  # only what was answered and not yet read when the kill came
    after = dict(rows(cache, "key, response"))
    assert len(after) == 2 * KILLED_ITEMS
    assert all(after[key] == response for key, response in kept.items())


def stored(cache: Path) -> int:
    try:
        return len(rows(cache)) if cache.exists() else 0
    except sqlite3.OperationalError:  # being made
        return 0
