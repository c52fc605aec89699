"""Whose fault a refusal is: one item's (the run goes on) or everybody's (one request, and advice that works)."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judging import chat, pairs_of, rows
from stub_server import Stub
from test_replies import completion

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.judges.alpacafarm_pool import AlpacaFarmPool
from rlp_bench.judges.chat import Chat

PAIRS = pairs_of(30)
Reply = tuple[int, Any]
OK: Reply = (200, completion({"content": "A"}))


def asked(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def no_temperature(body: dict[str, Any]) -> Reply:
    """A server that refuses temperature."""
    words = {"error": {"message": "temperature is not supported"}}
    return (400, words) if "temperature" in body else OK


def serving(decide: Callable[[dict[str, Any]], Reply], head: str = "") -> Stub:
    """A server that answers by `decide`."""
    return Stub(respond=lambda body, stub: (decide(body)[0], head, decide(body)[1]))


# --- One item's fault --------------------------------------------------------------------------------------

OF_ONE = {
    "moderation": (
        403,
        {"error": {"message": "Your input was flagged by our moderation endpoint", "code": 403}},
    ),
    "azure": (400, {"error": {"code": "content_filter", "message": "The response was filtered"}}),
    "policy": (400, {"error": {"message": "ok", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
    "unavailable": (451, {"error": {"message": "prompt was blocked by guardrails"}}),
    "router": (200, {"error": {"code": 403, "message": "flagged for violence"}}),
    "filter in the body": (200, {"error": {"type": "content_policy_violation", "message": "no"}}),
    "too long": (
        400,
        {"error": {"code": "context_length_exceeded", "message": "max_tokens must be at most 5"}},
    ),
    "too large": (413, {"error": {"message": "payload"}}),
    "unknown words": (400, {"error": {"message": "Nope."}}),
    "html": (422, b"<html>\n<b>no</b>"),
    "none": (400, b""),
}


@pytest.mark.parametrize("kind", OF_ONE)
def test_one_items_fault_fails_that_item_is_not_repeated_and_the_others_are_judged(
    kind: str, cache: Path
) -> None:
    bad = asked(chat("http://127.0.0.1:1").asking.request(PAIRS[0], 0).body())
    with serving(lambda body: OF_ONE[kind] if asked(body) == bad else OK) as stub:
        for sent in (60, 61):  # the second time only the failed one
            verdicts = chat(stub, max_concurrency=4).judge(PAIRS)
            assert [v.reason.partition(" ")[0] for v in verdicts] == ["failed:"] + [""] * 59
            assert len(stub.log) == sent
    assert sum(reason != "" for (reason,) in rows(cache, "reason")) == 1


def test_items_that_were_refused_in_an_earlier_run_stop_no_later_one() -> None:
    bad = {asked(chat("http://127.0.0.1:1").asking.request(pair, 0).body()) for pair in PAIRS[:9]}
    for kind in ("unknown words", "option"):
        with serving(
            lambda body, kind=kind: {**OF_ONE, **OF_ALL}[kind] if asked(body) in bad else OK
        ) as stub:
            chat(stub).judge(PAIRS[9:])
            verdicts = chat(stub).judge(PAIRS[:9])  # what a second run of the command sends
            assert {verdict.preference for verdict in verdicts} == {None}


def test_all_items_filtered_is_counted_and_not_taken_for_a_fault_of_the_server() -> None:
    with serving(lambda body: OF_ONE["azure"]) as stub:
        verdicts = chat(stub).judge(PAIRS)
    assert {v.reason for v in verdicts} == {"failed: HTTP 400: The response was filtered"}


# --- Everybody's fault ---------------------------------------------------------------------------------------

OF_ALL = {
    "key": (401, {"error": {"message": "Incorrect API key provided"}}),
    "key as 400": (
        400,
        [{"error": {"message": "API key not valid. Please pass a valid API key.", "code": 400}}],
    ),
    "country": (403, {"error": {"message": "Country, region, or territory not supported: policy"}}),
    "suspended": (403, {"error": {"message": "Your account was flagged for violating our usage policies"}}),
    "money": (402, {"error": {"message": "Insufficient credits"}}),
    "model": (404, {"error": {"message": "The model `judge-1` does not exist"}}),
    "model as 400": (400, {"error": {"message": "judge-1 is not a valid model ID", "code": 400}}),
    "model in the body": (200, {"error": {"code": 404, "message": "No such model"}}),
    "ollama": (400, {"error": 'model "judge-1" not found, try pulling it first'}),
    "option": (400, {"error": {"message": "bad", "param": "temperature", "code": "unsupported_value"}}),
    "fastapi": (422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}),
    "tgi": (422, {"error": "Input validation error: `temperature` must be strictly positive"}),
}
WORDS = {
    "key": "Incorrect API key", "key as 400": "API key not valid", "country": "Country, region",
    "suspended": "flagged",
    "money": "Insufficient credits", "model": "does not exist", "model as 400": "not a valid model", "option": "bad",
    "model in the body": "No such model", "ollama": "not found, try pulling", 
    "fastapi": "Extra inputs", "tgi": "strictly positive",
}  # fmt: skip


@pytest.mark.parametrize("kind", OF_ALL)
def test_everybodys_fault_stops_after_one_request_with_the_servers_words(kind: str) -> None:
    with serving(lambda body: OF_ALL[kind]) as stub:
        with pytest.raises(BenchError) as raised:
            chat(stub).judge(PAIRS)
        assert len(stub.log) == 1
    line = str(raised.value)
    assert line.isprintable()
    assert f"HTTP {OF_ALL[kind][0]}" in line
    assert WORDS[kind] in line


@pytest.mark.parametrize("status", [400, 422, 200, 500])
def test_what_no_word_explains_stops_after_three_requests_if_nothing_was_ever_answered(status: int) -> None:
    reply = b"<html>" if status == 200 else {"error": {"message": "Something 17 happened"}}
    with serving(lambda body: (status, reply)) as stub:
        with pytest.raises(BenchError, match="the first 3 requests failed so, and none was answered"):
            chat(stub, attempts=2).judge(PAIRS)
        assert len(stub.log) <= 3 * 2


def test_an_option_that_was_accepted_before_is_the_items_own_fault() -> None:
    bad = asked(chat("http://127.0.0.1:1").asking.request(PAIRS[40], 0).body())
    with serving(lambda body: OF_ALL["option"] if asked(body) == bad else OK) as stub:
        verdicts = chat(stub).judge(PAIRS)
    assert [v.preference is None for v in verdicts] == [n == 40 for n in range(60)]


def test_the_first_request_goes_alone_and_the_others_follow_a_slow_one() -> None:
    with Stub(gather=3, delay=0.01) as stub:  # answers nobody before three are there
        began = time.monotonic()
        assert None not in [v.preference for v in chat(stub).judge(PAIRS[:9])]
        assert time.monotonic() - began >= 1.9


def test_a_very_long_retry_after_ends_at_once_though_others_wait() -> None:
    with serving(lambda body: (429, {"error": {"message": "slow"}}), "Retry-After: 99999\r\n") as stub:
        began = time.monotonic()
        with pytest.raises(BenchError, match=r"asks to wait 99999 s \(HTTP 429: slow\)"):
            chat(stub).judge(PAIRS)
        assert time.monotonic() - began < 60


def test_a_stop_ends_the_pauses_of_other_requests() -> None:
    seen: list[str] = []

    def decide(body: dict[str, Any], stub: Stub) -> tuple[int, str, Any]:
        seen.append(asked(body))
        return (429, "Retry-After: 500\r\n", {}) if len(seen) == 1 else (401, "", {})

    with Stub(respond=decide) as stub:
        judge = chat(stub)
        judge.endpoint.limit._resume_at = 0.0
        judge.endpoint.limit.too_many = lambda *_: None  # only the request itself pauses
        began = time.monotonic()
        with pytest.raises(BenchError, match="HTTP 401"):
            judge.judge(PAIRS)
        assert time.monotonic() - began < 60


# --- Advice that works ---------------------------------------------------------------------------------------


def refusing(field: str) -> Callable[[dict[str, Any]], Reply]:
    """A server that refuses a field of the request."""
    words = {"error": {"message": f"Unsupported parameter: '{field}' is not supported with this model."}}
    return lambda body: (400, words) if field in body else OK


@pytest.mark.parametrize(
    ("field", "options"),
    [("temperature", ""), ("top_p", "top_p=0.5"), ("max_tokens", ""), ("seed", ""), ("top_logprobs", "logprobs=true"),
     ("logprobs", "logprobs=true"), ("max_completion_tokens", "max_tokens_name=max_completion_tokens"),
     ("top_k", "extra.top_k=4")],
)  # fmt: skip
def test_following_the_advice_leaves_the_refused_option_out_and_the_manifest_shows_it(
    field: str, options: str
) -> None:
    with serving(refusing(field)) as stub:
        with pytest.raises(BenchError) as raised:
            chat(stub, options).judge(PAIRS)
        assert len(stub.log) == 1
        line = str(raised.value)
        if field == "top_k":
            assert "leave extra.top_k out" in line
            advices = [""]
        else:
            advice = line.split("with this model.; ")[1].split("; answers")[0]
            advices = [part.split()[-1] for part in advice.split(", or ") if "=N" not in part]
        assert advices
        for advice in advices:
            given = "" if field == "top_k" else f"{options},{advice}".strip(",")
            judge = chat(stub, given)
            assert judge.judge(PAIRS[:1])[0].preference == 1.0
            assert field not in stub.bodies[-1]
            assert "max_tokens_name" in advice or judge.manifest() != chat(stub, options).manifest()


@pytest.mark.parametrize("name", ["temperature", "max_tokens", "top_p"])
@pytest.mark.parametrize("none", ["none", "None", ""])
def test_none_leaves_a_field_out_of_request_and_manifest(name: str, none: str) -> None:
    with serving(lambda body: OK) as stub:
        judge = chat(stub, f"{name}={none}")
        judge.judge(PAIRS[:1])
        assert name not in stub.bodies[0]
        assert judge.manifest()[name] is None


def test_an_extra_field_of_the_same_name_is_that_option_with_the_same_cached_answers(cache: Path) -> None:
    with serving(lambda body: OK) as stub:
        judge = chat(stub, "extra.temperature=null,extra.top_p=0.5")
        judge.judge(PAIRS[:1])
        assert "temperature" not in stub.bodies[0]
        assert (judge.manifest()["temperature"], judge.manifest()["top_p"], judge.manifest()["extra"]) == (
            None,
            0.5,
            {},
        )
        chat(stub, "temperature=none,top_p=0.5").judge(PAIRS[:1])
        assert len(stub.log) == 1


def test_a_pool_leaves_fields_out_too_and_its_values_are_its_own() -> None:
    with serving(no_temperature) as stub:
        given = f"judge-1,base_url={stub.url}"
        with pytest.raises(BenchError, match="temperature=none"):
            AlpacaFarmPool(given).judge(PAIRS)
        pool = AlpacaFarmPool(f"{given},temperature=none")
        pool.judge(PAIRS[:2])
        assert {one["temperature"] for one in pool.manifest()["annotators"]} == {None}
        with pytest.raises(DataError, match="expected none"):
            AlpacaFarmPool(f"{given},temperature=0.5")


def test_a_budget_needs_a_limit_of_the_reply() -> None:
    with serving(lambda body: OK) as stub:
        with pytest.raises(BenchError, match=r"no upper bound; give max_tokens=N"):
            chat(stub, "max_tokens=none,budget=1000tokens").judge(PAIRS)
        assert stub.log == []


# --- Address and headers ---------------------------------------------------------------------------------------


def test_parameters_of_the_address_and_headers_are_sent_and_stand_in_the_manifest() -> None:
    with serving(lambda body: OK) as stub:
        judge = chat(stub, "extra_query.api-version=2024-10-21,extra_headers.X-Title=bench")
        judge.judge(PAIRS[:1])
        assert stub.paths == ["/v1/chat/completions?api-version=2024-10-21"]
        assert stub.headers[0]["x-title"] == "bench"
        found = judge.manifest()
        assert (found["extra_query"], found["extra_headers"]) == (
            {"api-version": "2024-10-21"},
            {"X-Title": "bench"},
        )
        chat(stub, "extra_query.api-version=2025-01-01,extra_headers.X-Title=bench").judge(PAIRS[:1])
        chat(stub, "extra_query.api-version=2024-10-21,extra_headers.X-Title=other").judge(PAIRS[:1])
        assert len(stub.log) == 3  # another version or header is another request
        assert not {"extra_query", "extra_headers"} & set(chat(stub).manifest())


def test_azures_address_is_taken_as_it_is_shown_and_the_key_goes_into_its_header(monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "0123456789abcdef")
    with serving(lambda body: OK) as stub:
        chat(f"{stub.url}?api-version=7").judge(PAIRS[:1])
        chat(stub, "extra_query.api-version=7").judge(PAIRS[:1])
        assert len(stub.log) == 1  # the same request
        chat(stub, "key_header=x-key").judge(PAIRS[:1])
    assert stub.headers[0]["api-key"] == stub.headers[1]["x-key"] == "0123456789abcdef"
    assert not any("authorization" in headers for headers in stub.headers)


def test_a_toml_file_holds_them_as_tables(tmp_path: Path) -> None:
    path = tmp_path / "judge.toml"
    path.write_text(
        'model = "m"\nbase_url = "http://h/v1"\ntemperature = "none"\n[extra_query]\napi-version = "1"\n'
        '[extra_headers]\nX-A = "b"\n'
    )
    found = Chat(str(path)).manifest()
    assert (found["temperature"], found["extra_query"], found["extra_headers"]) == (
        None,
        {"api-version": "1"},
        {"X-A": "b"},
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [("extra.model=x", "set by rlp-bench"), ("extra.stream=true", "set by rlp-bench"),
     ("extra.n=2", "set by rlp-bench"),
     ("extra_headers.X Y=1", "name of a header"), ("extra_headers.X=\u00e9", "printable ASCII"),
     ("key_header=a b", "name of a header"),
     ("temperature=nan", "expected a number"), ("temperature=inf", "expected a number")],
)  # fmt: skip
def test_options_that_cannot_work_are_one_line(option: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        Chat(f"m,base_url=http://h/v1,{option}")


MANIFEST = {
    "name": "chat", "version": "1", "noise": 0.0, "scale": "binary", "provider": "http://h/v1", "model": "m",
    "snapshot": "m", "prompt": "chat", "parser": "letter 1", "temperature": 0.0, "top_p": None, "max_tokens": 16,
    "top_logprobs": None, "send_seed": True, "extra": {},
}  # fmt: skip

KEY = "a9a4be7c515f1172cb47ece0a0509b631741c94d84d60936c64eb925471f5426"


def test_a_judge_without_the_new_options_has_the_manifest_and_the_keys_that_it_had() -> None:
    judge = Chat("m,base_url=http://h/v1")
    found = dict(judge.manifest())
    assert found.pop("prompt_sha256")
    assert found == MANIFEST
    assert judge.asking.request(pairs_of(1)[0], 0).key() == KEY
