"""The asking engine against a server: cache, retries, limits, budget, models, keys; each over a real connection."""

import asyncio
import email.utils
import json
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from judging import chat, pairs_of, rows
from patience import PATIENCE
from stub_server import Stub

from rlp_bench.api.errors import BenchError, StoreError
from rlp_bench.api.types import Verdict
from rlp_bench.endpoint import Connection, Endpoint, Request, limit_spending
from rlp_bench.endpoint.budget import Budget, BudgetSpent
from rlp_bench.endpoint.cache import Cache, Row
from rlp_bench.endpoint.client import DEAF_ATTEMPTS
from rlp_bench.endpoint.limit import AdaptiveLimit
from rlp_bench.endpoint.request import wire_text
from rlp_bench.endpoint.retry import pause_seconds, retry_after

PAIRS = pairs_of(4)

# --- The key ------------------------------------------------------------------------------------------

REQUEST = Request("http://a/v1", "m", (("system", "s"), ("user", "u")), seed=0, max_tokens=4)
CHANGED = {
    "provider": "http://b/v1",
    "model": "n",
    "messages": (("system", "s"), ("user", "u "),),
    "snapshot": "m-2",
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 5,
    "max_tokens_name": "max_completion_tokens",
    "seed": 1,
    "top_logprobs": 5,
    "response_format": '{"type": "json_object"}',
    "stop": ("x",),
    "extra": '{"top_k": 1}',
    "prompt": "another prompt file",
    "draw": 1,
    "query": '{"api-version":"1"}',
    "headers": '{"x":"1"}',
}  # fmt: skip


def test_the_key_hangs_on_every_field_of_a_request() -> None:
    assert set(CHANGED) == {field.name for field in fields(Request)}
    keys = {replace(REQUEST, **{name: value}).key() for name, value in CHANGED.items()}
    assert len(keys | {REQUEST.key()}) == len(CHANGED) + 1
    assert replace(REQUEST).key() == REQUEST.key()


def test_the_key_is_the_same_in_every_process() -> None:
    code = (
        "from rlp_bench.endpoint import Request as R;"
        "print(R('http://a/v1','m',(('system','s'),('user','u')),seed=0,max_tokens=4).key())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert found == {REQUEST.key()}


def test_what_cannot_be_sent_is_replaced_and_all_else_stays() -> None:
    assert wire_text("a\0b\ud800c\udfff") == "a\ufffdb\ufffdc\ufffd"
    for text in ("plain", "<|im_end|> {first} \u2028 \U0001f600", "\x01\x1b"):
        assert wire_text(text) == text


# --- The cache ----------------------------------------------------------------------------------------


def test_what_was_asked_once_is_not_asked_again_and_another_model_is(cache: Path) -> None:
    with Stub() as stub:
        first = chat(stub).judge(PAIRS)
        assert chat(stub).judge(PAIRS) == first
        assert len(stub.log) == len(PAIRS)
        chat(stub, model="judge-2").judge(PAIRS)
        chat(stub, temperature=0.3).judge(PAIRS)
        chat(stub).judge(PAIRS, seed=1)
        assert len(stub.log) == 4 * len(PAIRS)
    assert len(rows(cache)) == 4 * len(PAIRS)


def test_a_server_that_moves_keeps_its_answers_only_under_a_stated_name() -> None:
    with Stub() as one, Stub() as other:
        assert chat(one, provider="lab").judge(PAIRS) == chat(other, provider="lab").judge(PAIRS)
        assert other.log == []
        chat(other).judge(PAIRS)
        assert len(other.log) == len(PAIRS)


def test_equal_pairs_in_one_call_are_asked_once() -> None:
    with Stub(delay=0.02) as stub:
        verdicts = chat(stub).judge([PAIRS[0]] * 50)
        assert len(stub.log) == 1
        assert verdicts == [verdicts[0]] * 50


def test_everything_about_an_answer_is_kept_and_no_key(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")
    with Stub(script=("400",)) as stub:
        judge = chat(stub)
        verdicts = judge.judge(PAIRS)
        assert stub.headers[0]["authorization"] == "Bearer sk-very-secret-0123456789"
        body = stub.bodies[0]
    assert [verdict.reason for verdict in verdicts if verdict.preference is None] == [
        "failed: HTTP 400: status 400, you sent Bearer [key]"
    ]
    found = rows(
        cache, "model, answered_by, system_fingerprint, finish_reason, prompt_tokens, request, response"
    )
    whole = [row for row in found if row[-1] is not None]
    assert len(found) == len(PAIRS)
    assert len(whole) == len(PAIRS) - 1
    assert {row[:4] for row in whole} == {("judge-1", "judge-1", "stub", "stop")}
    assert all(row[4] > 0 and json.loads(row[6])["object"] == "chat.completion" for row in whole)
    assert json.dumps(body, sort_keys=True) in {row[5] for row in found}
    for path in cache.parent.iterdir():
        assert b"sk-very" not in path.read_bytes()
    assert "sk-very" not in json.dumps(judge.manifest())


def test_a_stored_failure_is_tried_again_unless_told_not_to(cache: Path) -> None:
    with Stub(script=("400",)) as stub:
        [failed] = chat(stub).judge(PAIRS[:1])
        assert failed.preference is None
        assert failed.reason.startswith("failed: HTTP 400")
        [kept] = chat(stub, retry_failures="false").judge(PAIRS[:1])
        assert kept == failed
        assert len(stub.log) == 1
        [again] = chat(stub).judge(PAIRS[:1])
        assert again.preference is not None
        assert len(stub.log) == 2
        assert chat(stub, retry_failures="false").judge(PAIRS[:1]) == [again]
    assert [reason for _, reason in rows(cache)] == [""]


def test_an_answer_is_never_overwritten_by_a_failure(tmp_path: Path) -> None:
    row = Row("k", "", "p", "m", "m", None, "stop", 1, 1, 1, 0.1, "{}", b"answer")
    with Cache(tmp_path / "a.sqlite") as cache:
        cache.put(replace(row, reason="failed", response=None))
        cache.put(row)
        cache.put(replace(row, reason="failed", response=None))
        assert cache.get("k") == row


WRITE = """
import sys
from pathlib import Path
from rlp_bench.endpoint.cache import Cache, Row
with Cache(Path(sys.argv[1])) as cache:
    for n in range(500):
        cache.put(Row(f"{sys.argv[2]}-{n}", "", "p", "m", None, None, None, None, None, 1, 0.1, "{}", b"x" * 2000))
"""


def test_two_processes_write_one_cache_and_no_row_is_lost(cache: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(cache), who]) for who in "ab"]
    assert [writer.wait(PATIENCE) for writer in writers] == [0, 0]
    assert len(rows(cache)) == 1000


def test_a_broken_or_newer_cache_is_one_line(tmp_path: Path) -> None:
    broken, newer = tmp_path / "broken.sqlite", tmp_path / "newer.sqlite"
    broken.write_bytes(b"not a database at all, but long enough to be read as one" * 50)
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreError, match=r"broken\.sqlite.*cannot be used"):
        chat("http://127.0.0.1:1", cache=broken).judge(PAIRS)
    with pytest.raises(StoreError, match="version 9"):
        chat("http://127.0.0.1:1", cache=newer).judge(PAIRS)


# --- Retries and limits -------------------------------------------------------------------------------


def test_retry_after_is_waited_for(cache: Path) -> None:
    with Stub(script=("429",), retry_after="1") as stub:
        began = time.monotonic()
        [verdict] = chat(stub).judge(PAIRS[:1])
        assert time.monotonic() - began >= 1
        assert verdict.preference is not None
        assert stub.outcomes() == {"429": 1, "ok": 1}
    assert rows(cache, "attempts") == [(2,)]


def test_retry_after_is_read_in_every_form() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    soon = email.utils.formatdate(time.time() + 3600, usegmt=True)
    assert 2700 < retry_after({"retry-after": soon}) <= 3600
    for senseless in ("soon", "-5", "nan", "inf", "", "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert retry_after({"retry-after": senseless}) == 0
    assert retry_after({}) == 0


def test_pauses_double_up_to_a_cap_and_are_the_same_every_time() -> None:
    pauses = [pause_seconds("key", attempt, 0) for attempt in range(1, 12)]
    assert pauses == [pause_seconds("key", attempt, 0) for attempt in range(1, 12)]
    assert all(0.25 * 2**n <= pause < 0.5 * 2**n for n, pause in enumerate(pauses[:6]))
    assert max(pauses) < 30
    assert pause_seconds("other", 1, 0) != pauses[0]
    assert pause_seconds("key", 1, 60) == 60


def test_a_request_that_always_fails_is_counted_not_guessed(cache: Path) -> None:
    with Stub(script=("500",) * 3) as stub:
        verdicts = chat(stub, attempts=3, max_concurrency=1).judge(PAIRS)
    assert verdicts[0] == Verdict(None, "failed: HTTP 500: status 500, you sent Bearer none")
    assert all(verdict.preference is not None for verdict in verdicts[1:])
    assert sorted(rows(cache, "attempts")) == [(1,)] * (len(PAIRS) - 1) + [(3,)]


async def _life_of_a_limit() -> None:
    limit = AdaptiveLimit(100)
    assert limit.size == 20
    for _ in range(30):
        limit.answered()
    assert limit.size == 50  # one more with every answer, as long as nobody complains
    sent = await limit.acquire()
    limit.too_many(sent, 0)
    assert limit.size == 40
    limit.too_many(sent, 0)
    assert limit.size == 40  # the same round complains once
    limit.answered()
    assert limit.size == pytest.approx(40 + 1 / 40)  # from now on one more with every round
    for _ in range(100_000):
        limit.answered()
    assert limit.size == 100
    for _ in range(60):
        await asyncio.sleep(0)
        limit.too_many(asyncio.get_running_loop().time(), 0)
    assert limit.size == 1
    waiting = asyncio.create_task(limit.acquire())
    await asyncio.sleep(0.01)
    assert not waiting.done()  # the one place is taken
    limit.release()
    await asyncio.wait_for(waiting, PATIENCE)


def test_the_limit_grows_and_shrinks() -> None:
    asyncio.run(_life_of_a_limit())


def test_a_server_that_takes_eight_at_once_is_not_sent_many_more() -> None:
    with Stub(at_once=8, retry_after="0.01") as stub:
        judge = chat(stub, attempts=50)
        stub.gather = lambda: judge.endpoint.limit.running  # all that are under way are with the server
        verdicts = judge.judge(pairs_of(60))
        assert all(verdict.preference is not None for verdict in verdicts)
        assert judge.spent()["rate_limited"] > 0
        assert judge.endpoint.limit.size < 16


def test_no_more_than_max_concurrency_are_under_way() -> None:
    with Stub(gather=3, delay=0.005) as stub:
        chat(stub, max_concurrency=3).judge(pairs_of(15))
        assert stub.most_running == 3


# --- What stops everything ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["401", "403", "404", "quota"])
def test_what_no_retry_can_mend_stops_at_once_and_keeps_what_there_is(status: str, cache: Path) -> None:
    with Stub(script=("", "", status), delay=0.005) as stub:
        with pytest.raises(BenchError, match=r"check \$OPENAI_API_KEY, model and base_url") as raised:
            chat(stub, max_concurrency=1).judge(PAIRS)
        assert "\n" not in str(raised.value)
        assert len(stub.log) == 3
        assert [reason for _, reason in rows(cache)] == ["", ""]
        assert None not in [v.preference for v in chat(stub).judge(PAIRS)]
        assert len(stub.log) == 3 + len(PAIRS) - 2


def test_an_answer_of_another_model_is_an_error_and_never_a_verdict(cache: Path) -> None:
    with Stub(model="judge-1-0613") as stub:
        with pytest.raises(
            BenchError, match=r'asked for model "judge-1", answered by "judge-1-0613".*snapshot='
        ):
            chat(stub, max_concurrency=1).judge(PAIRS)
        assert [reason for _, reason in rows(cache)] == [
            'failed: answered by model "judge-1-0613", expected "judge-1"'
        ]
        verdicts = chat(stub, snapshot="judge-1-0613").judge(PAIRS)
        assert None not in [verdict.preference for verdict in verdicts]


def test_a_server_that_is_not_there_is_one_line_soon() -> None:
    with socket.socket() as nobody:  # bound and not listening: nobody else can answer there
        nobody.bind(("127.0.0.1", 0))
        judge = chat(f"http://127.0.0.1:{nobody.getsockname()[1]}/v1")
        with pytest.raises(BenchError, match="check that the server is running") as raised:
            judge.judge(pairs_of(200))
    assert "\n" not in str(raised.value)
    assert judge.spent()["sent"] <= 400 * DEAF_ATTEMPTS  # not 400 times all their attempts


def test_a_pause_longer_than_anyone_waits_stops_with_what_there_is() -> None:
    with (
        Stub(script=("429",), retry_after="86400") as stub,
        pytest.raises(BenchError, match="asks to wait 86400 s"),
    ):
        chat(stub).judge(PAIRS[:1])


def test_openai_without_a_key_is_one_line_before_anything_is_sent() -> None:
    from rlp_bench.judges.chat import Chat

    with pytest.raises(BenchError, match=r"no key; set \$OPENAI_API_KEY"):
        Chat("gpt-4.1").judge(PAIRS)


@pytest.mark.parametrize(
    ("address", "said"),
    [("ftp://x", "expected an address"), ("nonsense", "expected an address"),
     ("http://me:secret@host/v1", "password or a query"), ("http://host/v1?key=secret", "password or a query")],
)  # fmt: skip
def test_an_address_that_would_leak_or_lead_nowhere_is_refused(address: str, said: str) -> None:
    with pytest.raises(BenchError, match=said) as raised:
        chat(address)
    assert "secret" not in str(raised.value)


# --- Money ------------------------------------------------------------------------------------------------


def test_the_estimate_is_no_less_than_what_it_comes_to_and_knows_the_cache() -> None:
    with Stub() as stub:
        judge = chat(stub, "price_in=10,price_out=30")
        before = judge.estimate(PAIRS + PAIRS)
        assert before["requests"] == before["to_send"] == len(PAIRS)
        assert stub.log == []
        judge.judge(PAIRS[:3])
        spent = judge.spent()
        assert judge.estimate(PAIRS)["cached"] == 3
        assert before["prompt_tokens_at_most"] >= spent["prompt_tokens"] * len(PAIRS) / 3
        assert spent["dollars"] == pytest.approx(
            spent["prompt_tokens"] * 1e-5 + spent["completion_tokens"] * 3e-5
        )
        assert before["dollars_at_most"] > spent["dollars"]
        assert chat(stub).estimate(PAIRS)["dollars_at_most"] is None  # no price is not free


@pytest.mark.parametrize("unit", ["tokens", "dollars"])
def test_a_budget_is_never_passed_and_what_was_done_is_kept(unit: str, cache: Path) -> None:
    pairs, prices = pairs_of(20), "price_in=1000,price_out=1000"  # 1 dollar = 1000 tokens
    with Stub(delay=0.002) as stub:
        budget = "4000tokens" if unit == "tokens" else "4"
        judge = chat(stub, f"{prices},budget={budget}")
        with pytest.raises(BudgetSpent, match="larger budget"):
            judge.judge(pairs)
        done = len(rows(cache))
        spent = judge.spent()
        assert 0 < done == len(stub.log) < len(pairs)
        assert 2000 < spent["prompt_tokens"] + spent["completion_tokens"] <= 4000
        assert None not in [v.preference for v in chat(stub).judge(pairs)]
        assert len(stub.log) == len(pairs)  # what was paid for was not asked again


def test_the_process_has_a_budget_over_all_judges() -> None:
    with Stub() as stub:
        limit_spending("1500tokens")
        try:
            for model in "abc":
                chat(stub, model=model).judge(PAIRS[:1])
            with pytest.raises(BudgetSpent):
                chat(stub, model="d").judge(PAIRS)
        finally:
            limit_spending(None)


def test_a_budget_in_dollars_needs_prices_before_anything_is_sent() -> None:
    with Stub() as stub, pytest.raises(BenchError, match=r"price_in=.*price_out="):
        chat(stub, budget=5).judge(PAIRS)
    assert stub.log == []


def test_usage_that_is_not_reported_is_unknown_and_a_budget_counts_the_most() -> None:
    with Stub(usage=False) as stub:
        judge = chat(stub, "budget=100000tokens,price_in=1,price_out=1")
        judge.judge(PAIRS)
        assert judge.spent()["usage_unknown"] == len(PAIRS)
        assert judge.spent()["dollars"] is None
        most = sum(judge.asking.request(pair, 0).prompt_tokens_at_most() + 16 for pair in PAIRS)
        assert judge.endpoint.own_budgets[0].spent == most


@pytest.mark.parametrize(("text", "limit"), [("5", 5), ("$0.5", 0.5), ("200tokens", 200), ("7 Tokens", 7)])
def test_budgets_are_dollars_or_tokens(text: str, limit: float) -> None:
    budget = Budget.parse(text, "--budget")
    assert (budget.limit, budget.unit) == (limit, "tokens" if "token" in text.lower() else "dollars")


@pytest.mark.parametrize("text", ["", "five", "-1", "5 euros", "1e3", "tokens", "nan"])
def test_anything_else_is_no_budget(text: str) -> None:
    with pytest.raises(BenchError, match="expected dollars"):
        Budget.parse(text, "--budget")


# --- Elsewhere --------------------------------------------------------------------------------------------


def test_progress_is_told_of_every_answer() -> None:
    told: list[tuple[int, int]] = []
    with Stub(script=("429",)) as stub:
        judge = chat(stub)
        judge.progress = lambda done, total, note="": told.append((done, total))
        judge.judge(PAIRS)
    assert told == [(done, len(PAIRS)) for done in range(len(PAIRS) + 1)]


def test_a_judge_works_where_an_event_loop_is_running_already() -> None:
    async def notebook(stub: Stub) -> list[Verdict]:
        return chat(stub).judge(PAIRS)

    with Stub() as stub:
        assert None not in [verdict.preference for verdict in asyncio.run(notebook(stub))]


def test_an_endpoint_can_be_asked_without_any_judge() -> None:
    with Stub(reply="hello") as stub:
        endpoint = Endpoint(Connection(base_url=stub.url))
        [answer] = endpoint.ask([Request(stub.url, "m", (("user", "hi"),))])
    assert answer.text == "hello"
    assert answer.finish_reason == "stop"
    assert not answer.cached


def test_a_changed_answer_in_the_cache_is_an_error(cache):
    row = Row("k", "", "p", "m", "m", None, "stop", 1, 1, 1, 0.1, "{}", b"1")
    with Cache(cache) as opened:
        opened.put(row)
        assert opened.get("k") == row
        opened.put(Row("old", "", "p", "m", "m", None, "stop", 1, 1, 1, 0.1, "{}", b"1"))
    with sqlite3.connect(cache) as db:
        db.execute("UPDATE answers SET response = ? WHERE key = 'k'", (b"2",))
        db.execute("UPDATE answers SET seal = NULL WHERE key = 'old'")  # as written by version 1
    with Cache(cache) as opened:
        assert opened.get("old").response == b"1"
        with pytest.raises(StoreError, match="was changed after it was stored"):
            opened.get("k")
