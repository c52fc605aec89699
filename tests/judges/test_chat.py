"""The chat judge: its prompt, its options, and hostile answers end to end over a real connection."""

import json
import re
from pathlib import Path

import pytest
from hostile import HOSTILE
from judging import chat, pairs_of
from stub_server import Stub

from rlp_bench.api.errors import BenchError, DataError, UnknownName
from rlp_bench.api.types import Item, Pair
from rlp_bench.evaluation.verdicts import judge_items
from rlp_bench.judges.api.prompts import FOLDER, fill, load_prompt
from rlp_bench.judges.chat import Chat

PAIRS = pairs_of(4)
PROMPTS = sorted(path.stem for path in FOLDER.glob("*.txt"))


def user(body: dict) -> str:
    """What the judge was told by the person."""
    return body["messages"][-1]["content"]


def parts(text: str) -> list[str]:
    """What stands between the marks of a filled prompt: request, reply A, reply B."""
    fence = re.search(r"<<([0-9a-f]{12}) request>>", text)
    assert fence
    return re.findall(rf"<<{fence[1]} ([a-zA-Z ]+)>>\n(.*?)\n<<{fence[1]} end of \1>>", text, re.DOTALL)


# --- Prompts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("what", HOSTILE)
def test_every_prompt_holds_every_text_literally_between_marks_it_cannot_forge(name: str, what: str) -> None:
    pair = Pair("What?", HOSTILE[what], "{first} fine", "some input")
    [*_, (role, text)] = load_prompt(name, "test").messages(pair)
    assert role == "user"
    assert parts(text) == [
        ("request", "What?\n\nsome input"), ("reply A", HOSTILE[what]), ("reply B", "{first} fine")
    ]  # fmt: skip


def test_filling_is_one_pass() -> None:
    values = {"question": "{first}", "first": "{second}", "second": "{fence}", "fence": "{question}"}
    assert fill("{question}{first}{second}{fence}", values) == "{first}{second}{fence}{question}"


def test_three_rendered_prompts_are_what_they_were() -> None:
    """A changed wording is another judge: it changes these, and every prompt hash in a manifest."""
    found = load_prompt("chat", "test").messages(Pair("2+2?", "4", "5"))
    assert [role for role, _ in found] == ["system", "user"]
    assert parts(found[1][1]) == [("request", "2+2?"), ("reply A", "4"), ("reply B", "5")]
    with_input = load_prompt("chat", "test").messages(Pair("Add.", "4", "5", "2 and 2"))
    assert parts(with_input[1][1])[0] == ("request", "Add.\n\n2 and 2")
    assert len(load_prompt("pool_bare", "test").messages(Pair("2+2?", "4", "5"))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("no parts", r"\[system\]"), ("[user]\n{question} {first}", r"lacks \{second\}"),
     ("[user]\n{question} {first} {second} {output_1}", r"no placeholder \{output_1\}"),
     ("words\n[user]\n{question}{first}{second}", r"\[system\]")],
)  # fmt: skip
def test_a_prompt_file_that_cannot_work_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        Chat(f"m,prompt={path},base_url=http://127.0.0.1:1")


def test_a_prompt_of_ones_own_is_used_and_changes_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("[user]\nQ {question}\n1 {first}\n2 {second}\n[[A]] or [[B]]?")
    with Stub(reply="[[B]]") as stub:
        judge = chat(stub, f"prompt={path},parser=double_brackets")
        assert judge.judge(PAIRS[:1])[0].preference == 0.0
        assert user(stub.bodies[0]).startswith("Q What is 0")
    before = judge.manifest()
    path.write_text("[user]\nQ {question}\n1 {first}\n2 {second}\nWhich?")
    after = chat("http://127.0.0.1:1", f"prompt={path},parser=double_brackets").manifest()
    assert before["prompt_sha256"] != after["prompt_sha256"]


# --- Hostile answers --------------------------------------------------------------------------------------


def more_letters_b(body: dict) -> str:
    """A judge that prefers the reply that says "right", whatever else it says; B is the default."""
    return "A" if parts(user(body))[1][1].endswith("right") else "B"


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_answer_changes_no_verdict_in_either_order_and_breaks_nothing(what: str) -> None:
    bad, good = HOSTILE[what], "I am right"
    with Stub(reply=more_letters_b) as stub:
        judge = chat(stub)
        asked = [Pair("Q?", bad, good), Pair("Q?", good, bad)]
        verdicts = judge.judge(asked)
        assert [verdict.preference for verdict in verdicts] == [0.0, 1.0]
        assert chat(stub).judge(asked) == verdicts
        shown = parts(user(stub.bodies[0] if stub.bodies[0] != stub.bodies[1] else {}))
    sendable = bad.replace("\0", "\ufffd").replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")
    assert {text for _, text in shown[1:]} == {sendable, good}


def test_identical_answers_are_a_tie_without_a_call_and_empty_ones_are_judged() -> None:
    items = [Item("Q1", reference="same"), Item("Q2", reference="ref")]
    with Stub(reply="A") as stub:
        rows = judge_items(
            items,
            {items[0].id: {"output": "same"}, items[1].id: {"output": ""}},
            chat(stub),
            "both",
            lambda *_: None,
        )
        assert len(stub.log) == 2
    assert [row["preference_first"] for row in rows] == [0.5, 1.0, 1.0]
    assert rows[0]["raw"] == "identical"


def test_a_judge_that_always_says_a_comes_to_half_in_both_orders() -> None:
    with Stub(reply="A") as stub:
        preferences = [verdict.preference for verdict in chat(stub).judge(PAIRS)]
    assert preferences == [1.0] * len(PAIRS)  # first, whichever answer that is: a mean of exactly .5 an item


def test_a_judge_reply_full_of_hostile_text_is_unparsed_and_kept_as_it_is() -> None:
    for what in ("injection", "surrogates", "nul", "controls", "megabyte"):
        with Stub(reply=HOSTILE[what]) as stub:
            [verdict] = chat(stub).judge(PAIRS[:1])
        assert verdict.preference is None
        assert verdict.reason == "unparsed"
        assert verdict.raw == HOSTILE[what]


def test_garbage_replies_are_counted_as_unparsed_and_change_no_other_verdict() -> None:
    pairs = pairs_of(50)
    with Stub() as clean, Stub(reply=lambda body: "I cannot choose" if " 3?" in user(body) else "") as stub:
        wanted, found = chat(clean).judge(pairs), chat(stub).judge(pairs)
    silent = [verdict for verdict in found if verdict.preference is None]
    assert len(silent) == 2 * len([item for item in range(50) if item % 7 == 3])
    assert {verdict.reason for verdict in silent} == {"unparsed"}
    assert all(f == w for f, w in zip(found, wanted, strict=True) if f.preference is not None)


def test_a_reply_cut_at_the_limit_is_truncated_even_if_it_looks_like_a_verdict() -> None:
    with Stub(reply="A", finish="length") as stub:
        [verdict] = chat(stub).judge(PAIRS[:1])
    assert (verdict.preference, verdict.reason) == (None, "truncated: the reply was cut at 16 tokens")
    with Stub(reply="A", finish="content_filter") as stub:
        [verdict] = chat(stub).judge(PAIRS[:1])
    assert verdict.preference is None
    assert verdict.reason.startswith("unparsed: the provider's filter")


# --- Options ------------------------------------------------------------------------------------------------


def test_log_probabilities_weigh_the_verdict() -> None:
    with Stub(logprobs={"A": -0.2231435513, " B": -1.6094379124}) as stub:
        judge = chat(stub, "logprobs=true")
        [verdict] = judge.judge(PAIRS[:1])
        sent = stub.bodies[0]
    assert verdict.preference == pytest.approx(0.8)
    assert json.loads(verdict.raw) == {"A": -0.2231435513, " B": -1.6094379124}
    assert (sent["logprobs"], sent["top_logprobs"], sent["max_tokens"], sent["temperature"]) == (
        True,
        5,
        1,
        1.0,
    )
    assert judge.manifest()["scale"] == "soft"
    with Stub(logprobs={"The": -0.1, "A": -3.0}) as stub:
        assert chat(stub, "logprobs=true").judge(PAIRS[:1])[0].reason == "unparsed"


def test_a_server_without_log_probabilities_is_said_and_not_read_as_text() -> None:
    def forget(body: dict) -> str:
        body.pop("logprobs")
        return "A"

    with Stub(reply=forget) as stub:
        [verdict] = chat(stub, "logprobs=true").judge(PAIRS[:1])
    assert (verdict.preference, verdict.reason) == (None, "unparsed: the server gave no log-probabilities")


def test_the_reasoning_prompt_is_read_at_its_last_line() -> None:
    with Stub(reply="A lies about 3.\nReply B does not.\n\nVerdict: B") as stub:
        judge = chat(stub, "prompt=chat_reasoned")
        assert judge.judge(PAIRS[:1])[0].preference == 0.0
    assert judge.manifest()["parser"] == "verdict_line 1"


def test_options_reach_the_server_and_the_manifest() -> None:
    with Stub() as stub:
        judge = chat(
            stub,
            "temperature=0.5,top_p=0.9,max_tokens=7,max_tokens_name=max_completion_tokens,send_seed=false,"
            "extra.top_k=40,extra.reasoning.effort=low",
        )
        judge.judge(PAIRS[:1], seed=3)
        body = {name: value for name, value in stub.bodies[0].items() if name not in ("messages", "model")}
    assert body == {
        "temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 7, "top_k": 40, "reasoning": {"effort": "low"}
    }  # fmt: skip
    found = judge.manifest()
    assert (found["model"], found["temperature"], found["extra"]["top_k"]) == ("judge-1", 0.5, 40)
    assert found["provider"] == stub.url


def test_the_manifest_hangs_on_what_can_change_a_verdict_and_on_nothing_else() -> None:
    base = "http://127.0.0.1:1/v1"
    same = [
        chat(base),
        chat(base, "max_concurrency=3,budget=5,price_in=1,price_out=1,retry_failures=false,cache=x"),
    ]
    assert same[0].manifest() == same[1].manifest()
    for option in (
        "temperature=1",
        "max_tokens=9",
        "snapshot=s",
        "prompt=chat_reasoned",
        "logprobs=true",
        "provider=p",
    ):
        assert chat(base, option).manifest() != same[0].manifest(), option
    assert not {"api_key", "key", "max_concurrency"} & set(same[0].manifest())


def test_a_toml_file_holds_the_same_options(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("[user]\n{question}{first}{second}")
    path = tmp_path / "judge.toml"
    path.write_text(
        'model = "m"\nbase_url = "http://h/v1"\ntemperature = 1\nprompt = "mine.txt"\n'
        "[extra]\ntop_k = 3\nchat_template_kwargs = {thinking = false}\n"
    )
    judge = Chat(f"{path},temperature=0.5")
    found = judge.manifest()
    assert (found["model"], found["provider"], found["temperature"]) == ("m", "http://h/v1", 0.5)
    assert found["prompt"] == "mine"
    assert found["extra"] == {"top_k": 3, "chat_template_kwargs": {"thinking": False}}


@pytest.mark.parametrize(
    ("argument", "said"),
    [("", "needs a model"), ("m,temprature=1", 'no option "temprature"; did you mean "temperature"'),
     ("m,temperature=hot", "temperature=hot: expected a number"), ("m,logprobs=maybe", "expected true or false"),
     ("m,max_tokens=1.5", "expected a whole number"), ("m,other", '"other" is not an option'),
     ("m,prompt=chta", 'did you mean "chat"'), ("m,parser=lettre", 'did you mean "letter"'),
     ("nowhere.toml", "cannot be read"), ("m,timeout=0", "timeout"), ("m,attempts=0", "attempts"),
     ("m,logprobs=true,prompt=chat_reasoned", "parser=letter"), ("m,budget=lots", "expected dollars"),
     ("m,max_tokens=0", "at least 1"), ("m,price_in=-1", "price_in")],
)  # fmt: skip
def test_a_wrong_argument_is_one_line_before_anything_is_asked(argument: str, said: str) -> None:
    with pytest.raises(BenchError, match=re.escape(said)) as raised:
        Chat(argument)
    assert "\n" not in str(raised.value)


def test_an_unknown_option_in_a_toml_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "judge.toml"
    path.write_text('model = "m"\napi_key = "sk-1"\n')
    with pytest.raises(UnknownName, match=r'judge\.toml": no option "api_key"') as raised:
        Chat(str(path))
    assert "sk-1" not in str(raised.value)


@pytest.mark.parametrize("option", ["extra.logit_bias={}", "extra.sampling.logit_bias=1"])
def test_token_ids_are_not_sent_to_a_tokenizer_that_nobody_knows(option: str) -> None:
    # P24: AlpacaFarm favours and avoids token ids of one vocabulary.
    with pytest.raises(DataError, match="token ids depend on the tokenizer"):
        Chat(f"judge-1,{option}")
