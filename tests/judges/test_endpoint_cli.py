"""`rlp-bench eval` with an endpoint as the judge, as the policy, as both; estimates and budgets; the real command."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from stub_server import Stub

from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import Decoding
from rlp_bench.evaluation.endpoint_policy import read_endpoint, write_endpoint
from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.store.store import Store
from rlp_bench.trainers.generation.openai_engine import OpenAIEngine

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Answers to the ten greetings of the stranger's suite."""
    path = tmp_path / "outputs.json"
    rows = [
        {"instruction": f"greet {word}", "output": f"Hello, {word}!", "generator": "me"} for word in WORDS
    ]
    path.write_text(json.dumps(rows))
    return path


def reply(body: dict) -> str:
    """A policy that says hello, and a judge that likes A."""
    return "A" if "Answer with the single letter" in body["messages"][-1]["content"] else "Hello there."


def test_a_chat_judge_judges_an_outputs_file_and_the_second_time_nobody_is_asked(
    cli: Cli, outputs: Path, recipe_file: Path
) -> None:
    with Stub(reply=reply) as stub:
        call = ("eval", "--outputs", outputs, "--recipe", recipe_file, "--suite", "greetings", "--json")
        judge = f"chat:judge-1,base_url={stub.url}"
        first = cli(*call, "--judge", judge)
        assert first.returncode == 0, first.stderr
        [report] = json.loads(first.stdout)["suites"]
        assert (report["win_rate"], report["n_scored"]) == (50.0, 10)  # always A, in both orders
        assert report["judge"]["model"] == "judge-1"
        asked = len(stub.log)
        assert asked == 20
        again = cli(*call, "--judge", judge)
        assert json.loads(again.stdout)["suites"] == [report]
        assert len(stub.log) == asked


def test_an_endpoint_is_a_policy_under_the_recipes_prompt_and_decoding(cli: Cli, recipe_file: Path) -> None:
    with Stub(reply=reply) as stub:
        call = (
            "eval",
            "--policy",
            "openai:gpt-9,system=Be brief.",
            "--base-url",
            stub.url,
            "--recipe",
            recipe_file,
        )
        done = cli(*call, "--set", "decoding.temperature=0.7", "--set", "decoding.top_p=0.9", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["suites"][0]["n_items"] == 10
        assert len(stub.bodies) == 10
        body = next(one for one in stub.bodies if "greet four" in one["messages"][1]["content"])
        assert body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Q: greet four A:"},
        ]
        assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == (
            "gpt-9",
            0.7,
            0.9,
            300,
        )
        again = cli(*call, "--set", "decoding.temperature=0.7", "--set", "decoding.top_p=0.9", "--json")
        assert json.loads(again.stdout) == json.loads(done.stdout)
        assert len(stub.bodies) == 10


def test_a_dry_run_says_what_it_would_cost_and_sends_and_writes_nothing(
    stranger_plugins: None, cli: Cli, outputs: Path, recipe_file: Path, tmp_path: Path
) -> None:
    prices, store = "price_in=10,price_out=30", Store(tmp_path / "store")
    with Stub(reply=reply) as stub:
        judge = f"chat:judge-1,base_url={stub.url},{prices}"
        asked = {"recipe": str(recipe_file), "suites": ["greetings"], "judge": judge, "store": store}
        found = eval_command(outputs=outputs, dry_run=True, **asked)
        assert found["total"]["to_send"] == 20
        assert 0.05 < found["total"]["dollars_at_most"] < 0.5
        words = ("--recipe", recipe_file, "--suite", "greetings", "--judge", judge, "--dry-run")
        shown = cli("eval", "--outputs", outputs, *words)
        assert "nothing was sent" in shown.stdout
        assert "$0." in shown.stdout
        both = eval_command(policy=f"openai:gpt-9,{prices}", base_url=stub.url, dry_run=True, **asked)
        assert [(row["asked"].partition(":")[0], row["to_send"]) for row in both["rows"]] == [
            ("openai", 10), ("chat", 20)
        ]  # fmt: skip
        assert both["rows"][0]["completion_tokens_at_most"] == 10 * 300
        assert both["rows"][1]["prompt_tokens_at_most"] > found["total"]["prompt_tokens_at_most"] + 20 * 300
        assert stub.log == []
        assert not store.root.exists()
        eval_command(outputs=outputs, **asked)
        after = eval_command(outputs=outputs, dry_run=True, **asked)
        assert (after["total"]["to_send"], after["rows"][0]["cached"]) == (0, 20)


def test_a_budget_stops_with_one_line_and_the_next_run_goes_on(
    cli: Cli, outputs: Path, recipe_file: Path
) -> None:
    with Stub(reply=reply, delay=0.01) as stub:
        judge = f"chat:judge-1,base_url={stub.url},price_in=1000,price_out=1000"
        call = (
            "eval",
            "--outputs",
            outputs,
            "--recipe",
            recipe_file,
            "--suite",
            "greetings",
            "--judge",
            judge,
        )
        stopped = cli(*call, "--budget", "3")
        assert stopped.returncode == 2
        assert stopped.stderr.count("\n") == 1
        assert stopped.stderr.startswith("error: budget $3: spent; ")
        done = len(stub.log)
        assert 0 < done < 20
        done_now = cli(*call, "--budget", "100000tokens")
        assert done_now.returncode == 0
        assert (
            f"{stub.url}: {20 - done} requests sent, {20 - done} answered, {done} cached" in done_now.stderr
        )
        assert len(stub.log) == 20


@pytest.mark.parametrize(
    ("options", "said"),
    [({"policy": "openai:"}, "needs a model"),
     ({"policy": "openai:m,base_ulr=x"}, 'did you mean "base_url"'),
     ({"base_url": "http://h"}, "--policy openai:MODEL"),
     ({"policy": "openai:m", "base_url": "nowhere"}, "expected an address"),
     ({"policy": "openai:m", "base_url": "http://127.0.0.1:9/v1", "budget": "much"}, "expected dollars"),
     ({"policy": "openai:m", "judge": "chat:"}, "needs a model"),
     ({"policy": "openai:m"}, r"no key; set $OPENAI_API_KEY")],
)  # fmt: skip
def test_mistakes_are_one_line_and_nothing_is_judged(
    stranger_plugins: None, recipe_file: Path, tmp_path: Path, options: dict[str, str], said: str
) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(BenchError, match=re.escape(said)) as raised:
        eval_command(recipe=str(recipe_file), store=store, **options)
    assert "\n" not in str(raised.value)
    assert [folder.name for folder in store.folders() if not folder.name.startswith("policy")] == []


def policy(tmp_path: Path) -> Path:
    about = {
        "provider": "lab", "model": "m", "snapshot": "m", "system": "", "max_tokens_name": "max_tokens",
        "send_seed": True, "extra": "{}",
    }  # fmt: skip
    (tmp_path / "endpoint.json").write_text(json.dumps(about))
    return tmp_path


def engine(stub: Stub) -> OpenAIEngine:
    from rlp_bench.endpoint import Connection

    return OpenAIEngine(connection=Connection(base_url=stub.url, first_pause=0.01, attempts=2))


def test_n_samples_of_a_prompt_are_n_draws_and_repeat(tmp_path: Path) -> None:
    with Stub(reply=lambda body: f"draw {body['seed']}") as stub:
        first = engine(stub).sample(policy(tmp_path), ["p", "q"], Decoding(), n=3, seed=4)
        assert [len({sample.text for sample in row}) for row in first] == [3, 3]
        assert engine(stub).sample(policy(tmp_path), ["p", "q"], Decoding(), n=3, seed=4) == first
        assert len(stub.log) == 6
        assert all(sample.finished and sample.tokens == 1 for row in first for sample in row)
    with Stub(reply="cut", finish="length") as stub:
        [[sample]] = engine(stub).sample(policy(tmp_path), ["other"], Decoding())
        assert not sample.finished


def test_a_refused_prompt_has_no_answer_and_a_failed_one_is_asked_again(tmp_path: Path) -> None:
    with Stub(script=("", "400")) as stub:
        samples = engine(stub).sample(policy(tmp_path), ["p"], Decoding()) + engine(stub).sample(
            policy(tmp_path), ["p", "refused"], Decoding()
        )
        assert [len(row) for row in samples] == [1, 1, 0]
    with Stub(script=("500", "500")) as stub:
        with pytest.raises(BenchError, match=r"1 of 2 requests failed: HTTP 500.*run the same command"):
            engine(stub).sample(policy(tmp_path), ["p", "down"], Decoding())
        assert len(engine(stub).sample(policy(tmp_path), ["p", "down"], Decoding())[1]) == 1


def test_a_policys_reasoning_is_no_part_of_its_response_and_is_kept(tmp_path: Path) -> None:
    replies = {"tag": "<think>hm, </think>\nHello", "plain": "Hello", "open": "<think>hm"}
    with Stub(reply=lambda body: replies[body["messages"][-1]["content"]]) as stub:
        rows = engine(stub).sample(policy(tmp_path), list(replies), Decoding())
    assert [(row[0].text, row[0].raw, row[0].reasoning) for row in rows] == [
        ("Hello", replies["tag"], "hm,"), ("Hello", "", ""), ("", "<think>hm", "hm")
    ]  # fmt: skip


def test_one_senseless_token_count_of_many_is_estimated_and_marked(tmp_path: Path) -> None:
    def respond(body: dict, stub: Stub) -> tuple[int, str, dict]:
        count = 10**30 if body["messages"][-1]["content"] == "odd" else 3
        choice = {"message": {"content": "12345678"}, "finish_reason": "stop"}
        return (
            200,
            "",
            {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": count}},
        )

    with Stub(respond=respond) as stub:
        rows = engine(stub).sample(policy(tmp_path), ["odd", "even"], Decoding())
    assert [(row[0].tokens, row[0].tokens_estimated) for row in rows] == [(2, True), (3, False)]


def test_a_policy_leaves_out_what_its_server_refuses(tmp_path: Path) -> None:
    about, _ = read_endpoint(
        "openai:m,temperature=none,max_tokens=none,extra_query.api-version=7", "http://h/v1"
    )
    assert about["omit"] == ["temperature", "max_tokens"]
    write_endpoint(tmp_path, about)
    with Stub(reply="x") as stub:
        [request] = engine(stub).requests(tmp_path, ["p"], Decoding())
    assert not {"temperature", "max_tokens"} & set(request.body())
    assert json.loads(request.query) == {"api-version": "7"}
    assert not {"omit", "query", "headers"} & set(read_endpoint("openai:m", "http://h/v1")[0])
    with pytest.raises(BenchError, match="expected none"):
        read_endpoint("openai:m,temperature=1", "http://h/v1")


def test_what_an_endpoint_cannot_do_is_said(tmp_path: Path) -> None:
    with Stub(usage=False) as stub:
        for call in (
            lambda: engine(stub).logprobs(tmp_path, [], []),
            lambda: engine(stub).options(tmp_path, [], []),
            lambda: engine(stub).score(tmp_path, [], []),
            lambda: engine(stub).sample(tmp_path / "none", ["p"], Decoding()),
            lambda: engine(stub).sample(policy(tmp_path), ["p"], Decoding()),
        ):
            with pytest.raises(BenchError, match="openai"):
                call()
