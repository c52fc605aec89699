"""MMLU asked of an endpoint: greedily, two tokens, estimated lengths; what needs log-probabilities is refused."""

import csv
import json

import pytest
from stub_server import Stub

from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.store.store import Store

DEV = [[f"example {i}", "w", "x", "y", "z", "ABCD"[i % 4]] for i in range(5)]


@pytest.fixture
def data(tmp_path):
    """One subject: four short questions, and one so long that it loses its examples."""
    test = [[f"question {i}", "w", "x", "y", "z", "ABCD"[i]] for i in range(4)]
    test.append(["long " * 1600, "w", "x", "y", "z", "A"])
    for split, rows in (("dev", DEV), ("test", test)):
        (tmp_path / split).mkdir()
        with (tmp_path / split / f"zoo_{split}.csv").open("w", newline="") as out:
            csv.writer(out).writerows(rows)
    return tmp_path


def reply(body):
    """B to everything but question 2, which it does not understand."""
    return "I think" if body["messages"][-1]["content"].rstrip().count("question 2") else " B."


def test_an_endpoint_answers_greedily_and_unreadable_answers_are_wrong_and_counted(data, tmp_path):
    seen = []

    def note(body):
        seen.append(body)
        return reply(body)

    store = Store(tmp_path / "store")
    with Stub(reply=note) as stub:
        call = {
            "policy": "openai:gpt-x",
            "base_url": stub.url,
            "suites": ["mmlu"],
            "data": data,
            "store": store,
        }
        [report] = eval_command(**call)["suites"]
        assert len(seen) == 5
        assert eval_command(**call)["suites"] == [report]
        assert len(seen) == 5  # sealed: nobody is asked twice
    assert {(body["temperature"], body["max_tokens"], len(body["messages"])) for body in seen} == {
        (0.0, 2, 1)
    }
    # Right: question 1 alone. Question 2 is not understood, the others are answered B.
    assert report["accuracy"] == pytest.approx(20.0)
    assert report["coverage"] == {"answered": 4, "unparsed": 1, "failed": 0, "too_long": 0, "cut": 0}
    assert any("1 of 5 answers begin with no letter" in line for line in report["warnings"])
    # Header 72 bytes, long question 8000 + 28, an example 9 + 28 + 4: two fit in 4 * 2048 = 8192 bytes, three do not.
    assert report["n_shots"] == {"5": 4, "2": 1}
    assert report["tokens_counted"].startswith("estimated: 4 bytes")
    assert report["bos_tokens"] == {"none": 5}
    assert seen[0]["messages"][-1]["content"].startswith(
        "The following are multiple choice questions (with answers) about  zoo.\n\nexample 0\nA. w"
    )


def test_likelihoods_are_refused_and_a_dry_run_sends_nothing(cli, data):
    with Stub(reply=reply) as stub:
        call = ("eval", "--policy", "openai:gpt-x", "--base-url", stub.url)
        done = cli(*call, "--suite", f"mmlu:{data},protocol=lm_eval")
        assert done.returncode == 2
        assert "needs log-probabilities of given texts" in done.stderr
        assert "Traceback" not in done.stderr
        dry = cli(*call, "--suite", "mmlu", "--data", data, "--dry-run", "--json")
        assert dry.returncode == 0, dry.stderr
        [row] = json.loads(dry.stdout)["rows"]
        assert row["to_send"] == 5
        assert row["completion_tokens_at_most"] == 10
        assert stub.bodies == []
