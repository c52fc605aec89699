"""Every kind of fault of a server has one end: the undisturbed verdicts, or one line; no answer is paid for twice.

Each kind is tried once at the first request of every item (the next one is answered), and (every third kind) for
ever. A large run, with all kinds for ever:
`RLP_BENCH_FAULT_ITEMS=200 pytest tests/judges/test_fault_kinds.py`.
"""

import gzip
import json
import os
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from judging import chat, pairs_of
from stub_server import Stub
from test_refusals import OF_ALL, OF_ONE
from test_replies import NO_ANSWER

from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import Verdict

ITEMS = int(os.environ.get("RLP_BENCH_FAULT_ITEMS", "3"))
OK_HEAD = b"HTTP/1.1 200 OK\r\n"
Fault = tuple[int, str, Any]
WIRE: dict[str, Fault] = {
    "closed": (0, "", b""),
    "half a status line": (0, "", b"HTTP/1."),
    "TLS": (0, "", b"\x16\x03\x03\x00\x02\x01\x00"),
    "SSH": (0, "", b"SSH-2.0-OpenSSH_9.6\r\n"),
    "no end of the head": (0, "", OK_HEAD + b"Content-Type: application/json\r\n"),
    "a head without end": (0, "", OK_HEAD + b"X: " + b"a" * 300_000 + b"\r\n\r\n"),
    "many headers": (0, "", OK_HEAD + b"X: a\r\n" * 2_000 + b"\r\n"),
    "a header with NUL": (0, "", OK_HEAD + b"X\x00: a\r\n\r\n"),
    "two lengths": (0, "", OK_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "a negative length": (0, "", OK_HEAD + b"Content-Length: -5\r\n\r\n{}"),
    "a length of words": (0, "", OK_HEAD + b"Content-Length: many\r\n\r\n{}"),
    "a length of 30 digits": (0, "", OK_HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}"),
    "cut": (0, "", OK_HEAD + b'Content-Length: 400\r\n\r\n{"choices": ['),
    "a broken chunk": (0, "", OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n"),
    "a chunk cut": (0, "", OK_HEAD + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"a'),
    "status 0": (0, "", b"HTTP/1.1 000 -\r\nContent-Length: 0\r\n\r\n"),
    "status 999": (999, "", b"{}"),
    "status 204": (204, "", b""),
    "status 304": (304, "", b""),
    "HTTP 9": (0, "", b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "not gzip": (200, "Content-Encoding: gzip\r\n", b"\x1f\x8bnot gzip"),
    "half of gzip": (200, "Content-Encoding: gzip\r\n", gzip.compress(b'{"choices": []}')[:-6]),
    "an encoding of no name": (200, "Content-Encoding: what\r\n", b"{}"),
    "a bomb": (200, "Content-Encoding: gzip\r\n", gzip.compress(b" " * (17 << 20))),
}
BODY: dict[str, Fault] = {
    "an empty body": (200, "", b""),
    "white space": (200, "", b" \n"),
    "HTML": (200, "Content-Type: text/html\r\n", b"<html><script>alert(1)</script></html>"),
    "server-sent events": (
        200,
        "Content-Type: text/event-stream\r\n",
        b'data: {"choices": []}\n\ndata: [DONE]\n\n',
    ),
    "half of JSON": (200, "", b'{"choices": [{"message": {"content": "A"'),
    "two documents": (200, "", b"{}{}"),
    "Latin-1": (200, "", b'{"error": "\xe9t\xe9"}'),
    "UTF-16": (200, "", '{"error": "a"}'.encode("utf-16")),
    "a byte-order mark alone": (200, "", b"\xef\xbb\xbf"),
    "null": (200, "", b"null"),
    "a text": (200, "", b'"A"'),
    "a list": (200, "", b"[[[[]]]]"),
    "10,000 digits": (200, "", b'{"choices": ' + b"9" * 10_000 + b"}"),
    "choices of texts": (200, "", {"choices": ["A"]}),
    "a message of text": (200, "", {"choices": [{"message": "A"}]}),
    "no message": (200, "", {"choices": [{"index": 0}]}),
    "terminal sequences": (200, "", {"error": {"message": "\x1b]0;x\x07\x1b[2J\u202e\r\n[red]"}}),
}
STATUS: dict[str, Fault] = {
    f"status {number}": (number, "", {"error": {"message": "try again"}})
    for number in (408, 409, 425, 429, 500, 502, 503, 504, 520, 529)
} | {
    f"retry-after {value!r}": (429, f"Retry-After: {value}\r\n", {"error": {"message": "slow down"}})
    for value in ("0", "-1", "soon", "nan", "1e-3", "Wed, 21 Oct 2015 07:28:00 GMT", "")
}  # fmt: skip
REDIRECTS = {f"redirect {n}": (n, "Location: http://127.0.0.1:9/v1\r\n", b"") for n in (301, 302, 307, 308)}
OTHERS: dict[str, Fault] = {
    f"{table}: {kind}": (reply[0], "", reply[1])
    for table, kinds in (("one", OF_ONE), ("all", OF_ALL))
    for kind, reply in kinds.items()
} | {f"no answer: {kind}": (200, "", reply) for kind, reply in NO_ANSWER.items()}
KINDS = {**WIRE, **BODY, **STATUS, **REDIRECTS, **OTHERS}


def undisturbed() -> list[Verdict]:
    stub, judge = Stub(), chat("http://127.0.0.1:1/v1")
    bodies = [judge.asking.request(pair, 0).body() for pair in pairs_of(ITEMS)]
    texts = [stub.answer(body, stub.key(body))["choices"][0]["message"]["content"] for body in bodies]
    return [Verdict({"A": 1.0, "B": 0.0}[text], raw=text) for text in texts]


def cached(cache: Path) -> int:
    """Answers that are kept as final ones."""
    if not cache.exists():
        return 0
    with sqlite3.connect(cache) as db:
        return int(db.execute("SELECT count(*) FROM answers WHERE reason = ''").fetchone()[0])


class Faulty:
    """A server whose first `times` replies to every request are faulty; counts the whole answers."""

    def __init__(self, kind: str, times: float) -> None:
        self.kind, self.times = kind, times
        self.seen: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.stub = Stub(respond=self.respond)

    def respond(self, body: dict[str, Any], stub: Stub) -> Fault:
        key = stub.key(body)
        self.seen[key] += 1
        if self.seen[key] <= self.times:
            return KINDS[self.kind]
        self.paid[key] += 1
        return 200, "", stub.answer(body, key)


def judged(stub: Stub) -> list[Verdict] | None:
    """The verdicts; None where the judge ended with one line, which is printable and not long."""
    try:
        return chat(stub, timeout=20).judge(pairs_of(ITEMS))
    except BenchError as error:
        said = str(error)
        assert said.isprintable(), said
        assert len(said) < 1500
        return None


def test_there_are_more_than_thirty_kinds() -> None:
    assert len(KINDS) >= 30
    assert len({json.dumps([str(part) for part in fault]) for fault in KINDS.values()}) > len(KINDS) - 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_first_costs_no_verdict_and_no_answer_twice(kind: str, cache: Path) -> None:
    expected, server = undisturbed(), Faulty(kind, times=1)
    with server.stub as stub:
        first = judged(stub)
        kept = cached(cache)
        assert kept == len(server.paid)
        again = judged(stub)  # what the same command does later
        last = judged(stub)
    for verdicts in (first, again, last):
        for found, right in zip(verdicts or (), expected, strict=bool(verdicts)):
            assert found == right or (found.preference is None and found.reason), kind
    assert set(server.paid.values()) <= {1}
    if kind not in OTHERS and kind not in REDIRECTS:
        assert last == expected
        assert len(server.paid) == 2 * ITEMS


@pytest.mark.parametrize("kind", KINDS if "RLP_BENCH_FAULT_ITEMS" in os.environ else list(KINDS)[::3])
def test_a_fault_for_ever_is_one_line_or_a_reason_an_item(kind: str, cache: Path) -> None:
    server = Faulty(kind, times=float("inf"))
    with server.stub as stub:
        verdicts = judged(stub)
        sent = server.seen.total()
    assert sent <= 2 * ITEMS * 12
    assert cached(cache) == 0
    for verdict in verdicts or ():
        assert verdict.preference is None
        assert verdict.reason.isprintable()
        assert 0 < len(verdict.reason) < 400
