"""What a reply means: reasoning, parts, refusals, tool calls, error bodies, invalid numbers; each over a connection."""

import json
from pathlib import Path
from typing import Any

import pytest
from judging import chat, pairs_of, rows
from stub_server import Stub

from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import Verdict
from rlp_bench.endpoint.cache import Cache, Row
from rlp_bench.endpoint.reply import split_thinking, usage_of

PAIR = pairs_of(1)[:1]
HUGE = int("9" * 400)


def short(value: Any) -> str:
    return repr(value)[:12]


def completion(message: Any, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion with this message."""
    choice = {"index": 0, "message": message, "finish_reason": finish, **more.pop("choice", {})}
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    return {"object": "chat.completion", "model": "judge-1", "choices": [choice], "usage": usage, **more}


def judged(reply: Any, options: str = "", **connection: Any) -> Verdict:
    """The verdict on one pair by a server that always gives this reply."""
    with Stub(respond=lambda body, stub: (200, "", reply)) as stub:
        return chat(stub, options, **{"attempts": 2, **connection}).judge(PAIR)[0]


# --- Reasoning --------------------------------------------------------------------------------------------

THOUGHTS = {
    "<think>A? Verdict: A\n</think>\nB": "B",
    "  <THINK>\nx</think>B": "B",
    "<thinking>A</thinking>\n\nB": "B",
    "<reasoning>A</reasoning>B": "B",
    "<seed:think>A</seed:think>B": "B",
    "[THINK]A[/THINK]B": "B",
    "\u25c1think\u25b7A\u25c1/think\u25b7B": "B",
    "A is short, so\n</think>\n\nB": "B",
    "<think>It says </think>\nA, and I disagree.</think>\nB": "B",
    "<think>A, or B, or": "",
    "<think></think>B": "B",
}


@pytest.mark.parametrize("text", THOUGHTS)
def test_a_reasoning_block_at_the_beginning_is_no_part_of_the_answer(text: str) -> None:
    assert split_thinking(text)[1] == THOUGHTS[text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "Write <think> first.",
        "The tag </think> ends it.",
        "a <think>b</think> c",
        "<thin>A</thin>",
        "`</think>`",
    ],
)
def test_a_text_that_only_mentions_such_tags_is_left_as_it_is(text: str) -> None:
    assert split_thinking(text) == ("", text)


@pytest.mark.parametrize("text", [text for text, answer in THOUGHTS.items() if answer])
def test_a_judge_is_read_after_its_reasoning_and_the_whole_reply_is_kept(text: str) -> None:
    assert judged(completion({"content": text})) == Verdict(0.0, "", text)


def test_reasoning_beside_the_content_is_not_read() -> None:
    for field in ("reasoning_content", "reasoning"):
        assert judged(completion({"content": "B", field: "A"})).preference == 0.0


def test_reasoning_alone_is_no_verdict_and_cut_reasoning_is_truncated() -> None:
    for message in ({"content": "<think>A"}, {"content": None, "reasoning_content": "A"}):
        assert judged(completion(message)).reason == "unparsed: the reply has reasoning but no answer"
        assert judged(completion(message, "length")).reason.startswith("truncated")


# --- Content ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "verdict"),
    [({"content": [{"type": "text", "text": "B"}]}, Verdict(0.0, "", "B")),
     ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "A"}]}, {"type": "text", "text": "B"}]},
      Verdict(0.0, "", "B")),
     ({"content": [{"type": "reasoning", "text": "A"}, {"type": "output_text", "text": "B"}]}, Verdict(0.0, "", "B")),
     ({"content": [{"type": "text", "text": 5}, {"type": "image"}]}, Verdict(None, "unparsed", "")),
     ({"content": []}, Verdict(None, "unparsed", "")),
     ({"content": ""}, Verdict(None, "unparsed", "")),
     ({"content": None}, Verdict(None, "unparsed", "")),
     ({}, Verdict(None, "unparsed", "")),
     ({"content": None, "refusal": "I will not."}, Verdict(None, "unparsed: the model refused", "I will not.")),
     ({"content": None, "tool_calls": [{"function": {"name": "A"}}]},
      Verdict(None, "unparsed: the reply is a tool call, not text", ""))],
)  # fmt: skip
def test_every_kind_of_content_has_one_meaning_and_is_paid_for_once(
    message: Any, verdict: Verdict, cache: Path
) -> None:
    with Stub(respond=lambda body, stub: (200, "", completion(message))) as stub:
        assert chat(stub).judge(PAIR) == [verdict]
        assert chat(stub).judge(PAIR) == [verdict]
        assert len(stub.log) == 1
    assert rows(cache, "reason") == [("",)]


@pytest.mark.parametrize("content", [5, {"text": "A"}, True, ["A"]])
def test_content_of_no_known_kind_is_no_completion(content: Any) -> None:
    assert judged(completion({"content": content})).reason == "failed: not a chat completion (no message)"


# --- No answer --------------------------------------------------------------------------------------------

NO_ANSWER = {
    "finish error": completion({"content": ""}, "error"),
    "choice error": completion(
        {"content": "A"}, "stop", choice={"error": {"code": 502, "message": "upstream died"}}
    ),
    "error beside choices": completion({"content": "A"}, error={"message": "upstream died"}),
    "error body": {"error": {"code": 429, "message": "upstream died"}},
    "error text": {"error": "upstream died"},
    "vllm": {"object": "error", "message": "upstream died", "code": 503},
    "fastapi": {"detail": "upstream died"},
    "google": [{"error": {"code": 503, "message": "upstream died"}}],
    "no choices": {"model": "judge-1", "choices": []},
    "null choices": {"model": "judge-1", "choices": None},
    "a number": 5,
    "two answers": b'{"model": "judge-1", "choices": [{"message": {"content": "A", "content": "B"}}]}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("kind", NO_ANSWER)
def test_what_is_no_answer_is_tried_again_and_never_kept_as_one(kind: str, cache: Path) -> None:
    replies = [NO_ANSWER[kind], completion({"content": "B"})]
    with Stub(respond=lambda body, stub: (200, "", replies[len(stub.log) > 0])) as stub:
        assert chat(stub).judge(PAIR)[0].preference == 0.0
    assert rows(cache, "reason, attempts") == [("", 2)]
    failed = judged(NO_ANSWER[kind], "send_seed=false")
    assert failed.preference is None
    assert failed.reason.startswith("failed: ")
    if "upstream died" in json.dumps(str(NO_ANSWER[kind])):
        assert "upstream died" in failed.reason


def test_a_reply_that_an_earlier_version_kept_by_mistake_is_asked_again_once(cache: Path) -> None:
    with Stub(respond=lambda body, stub: (200, "", completion({"content": "B"}))) as stub:
        judge = chat(stub)
        key = judge.asking.request(PAIR[0], 0).key()
        poison = json.dumps(completion({"content": ""}, "error")).encode()
        with Cache(cache) as open_cache:
            open_cache.put(Row(key, "", "p", "m", "m", None, "error", 1, 1, 1, 0.1, "{}", poison))
        assert judge.estimate(PAIR)["to_send"] == 1
        assert judge.judge(PAIR)[0].preference == 0.0
        assert chat(stub).judge(PAIR)[0].preference == 0.0
        assert len(stub.log) == 1


def test_an_answer_kept_by_an_earlier_version_stays_readable_even_if_it_would_not_be_taken_now(
    cache: Path,
) -> None:
    old = b'{"model": "judge-1", "x": 1, "x": 2, "choices": [{"finish_reason": "stop", "message": {"content": "B"}}]}'
    with Stub(respond=lambda body, stub: (500, "", {})) as stub:
        judge = chat(stub)
        with Cache(cache) as open_cache:
            key = judge.asking.request(PAIR[0], 0).key()
            open_cache.put(Row(key, "", "p", "m", "m", None, "stop", 1, 1, 1, 0.1, "{}", old))
        assert judge.judge(PAIR)[0].preference == 0.0
        assert stub.log == []


# --- Who answered -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [None, "", "absent"])
def test_a_reply_that_names_no_model_is_taken_and_counted(model: str | None) -> None:
    reply = completion({"content": "B"}, model=model)
    if model == "absent":
        del reply["model"]
    with Stub(respond=lambda body, stub: (200, "", reply)) as stub:
        judge = chat(stub)
        assert judge.judge(PAIR)[0].preference == 0.0
        assert judge.spent()["model_unknown"] == 1
        assert "1 answers name no model" in judge.endpoint.tally.line()
        with pytest.raises(BenchError, match=r"names no model.*leave snapshot=\.\.\. out"):
            chat(stub, snapshot="judge-1-0613").judge(PAIR)


@pytest.mark.parametrize("model", [5, ["judge-1"], "other\n\x1b[31m"])
def test_another_model_is_one_line_whatever_it_is(model: Any) -> None:
    with pytest.raises(BenchError, match="asked for model") as raised:
        judged(completion({"content": "B"}, model=model))
    assert str(raised.value).isprintable()


def test_the_advice_to_name_the_snapshot_works() -> None:
    with Stub(
        respond=lambda body, stub: (200, "", completion({"content": "B"}, model="judge-1-0613"))
    ) as stub:
        with pytest.raises(BenchError) as raised:
            chat(stub).judge(PAIR)
        advice = str(raised.value).rpartition(" by ")[2]
        assert advice == "snapshot=judge-1-0613"
        assert chat(stub, advice).judge(PAIR)[0].preference == 0.0


# --- Numbers ----------------------------------------------------------------------------------------------


def first_token(*logprobs: Any) -> dict[str, Any]:
    top = [{"token": token, "logprob": value} for token, value in zip("AB", logprobs, strict=False)]
    return {"logprobs": {"content": [{"top_logprobs": top}]}}


LITERALS = ("9" * 400, "9" * 5000, "NaN", "Infinity", "5.0", "1e400", '"x"', "null", "true", "[]", '{"a": 1}')


@pytest.mark.parametrize("literal", LITERALS, ids=lambda literal: literal[:8])
def test_a_value_that_is_no_log_probability_is_no_verdict_and_breaks_nothing(literal: str) -> None:
    reply = json.dumps(completion({"content": "A"}, choice=first_token("@", -0.5))).replace('"@"', literal)
    found = judged(reply.encode(), "logprobs=true")
    assert found == Verdict(None, "unparsed: the server gave values that are no log-probabilities", "A")


def test_log_probabilities_of_zero_and_minus_infinity_are_probabilities() -> None:
    assert (
        judged(completion({"content": "A"}, choice=first_token(0, float("-inf"))), "logprobs=true").preference
        == 1.0
    )
    assert (
        judged(completion({"content": "A"}, choice=first_token(1e-7, -30)), "logprobs=true").preference > 0.99
    )


@pytest.mark.parametrize("count", [10**30, HUGE, -1, 1.5, float("nan"), "7", None, [], True], ids=short)
def test_a_senseless_token_count_is_unknown_and_counted(count: Any, cache: Path) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    with Stub(respond=lambda body, stub: (200, "", completion({"content": "B"}, usage=usage))) as stub:
        judge = chat(stub, "budget=1000000tokens")
        assert judge.judge(PAIR)[0].preference == 0.0
        assert judge.spent()["usage_unknown"] == 1
    assert rows(cache, "prompt_tokens, completion_tokens, reason") == [(None, None, "")]
    assert usage_of({"usage": usage}) == (None, None)


@pytest.mark.parametrize("field", ["system_fingerprint", "id", "created", "service_tier"])
@pytest.mark.parametrize("value", [HUGE, float("nan"), "\ud800\0\x1b[2J", [[[]]], {"a": None}], ids=short)
def test_no_value_of_another_field_breaks_a_reply(field: str, value: Any) -> None:
    assert judged(completion({"content": "B"}, **{field: value})).preference == 0.0


@pytest.mark.parametrize("finish", [None, 5, [], {"a": 1}, "", "eos", "end_turn"])
def test_no_finish_reason_breaks_a_reply(finish: Any) -> None:
    assert judged(completion({"content": "B"}, finish)).preference == 0.0


def test_a_key_given_twice_with_one_value_is_one_key() -> None:
    text = json.dumps(completion({"content": "B"})).replace(
        '"model": "judge-1"', '"model": "judge-1", "model": "judge-1"'
    )
    assert judged(text.encode()).preference == 0.0
