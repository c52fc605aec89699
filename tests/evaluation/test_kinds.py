"""A kind of suite that nobody knew is its own file and a line in the table: everything after it reads the report."""

from types import SimpleNamespace

import pytest
from evaluation_parts import TableEngine, artifact, silent

from rlp_bench.analysis.compare import compare
from rlp_bench.api.errors import UnknownName
from rlp_bench.api.files import write_lines
from rlp_bench.api.report import headline, item_scores, read_report, write_report
from rlp_bench.api.types import Item
from rlp_bench.evaluation import evaluator, resolve
from rlp_bench.evaluation.evaluate import evaluate_run, render, summarize
from rlp_bench.evaluation.kinds.kind import Kind, header
from rlp_bench.evaluation.kinds.table import KINDS, kind_of
from rlp_bench.leaderboard.table.table import FORMATS, Table
from rlp_bench.recipes.load import load_recipe
from rlp_bench.regression.rule import judge_candidate
from rlp_bench.regression.snapshot import take_snapshot
from rlp_bench.store.store import fingerprint

QUESTIONS = 400
"""More than the gate asks for."""


class Chat:
    """A suite of the kind that is new here."""

    name, version, kind = "chat", "1", "rating"

    def items(self):
        return [Item(f"talk about {i}") for i in range(QUESTIONS)]


def rating_report(asking, alias, suite, items):
    """Every answer gets 1 to 10; its score is (rating - 1) / 9."""
    identity = {"step": "rating", "policy": asking.policy.fingerprint, "suite": suite.name}

    def build(folder):
        prompts = [asking.prompting.render(item.instruction) for item in items]
        drawn = asking.engine.sample(asking.policy.path, prompts, asking.decoding, seed=asking.seed)
        rows = [
            {"item_id": item.id, "score": (len(one.text.split()) - 1) / 9, "subset": ""}
            for item, [one] in zip(items, drawn, strict=True)
        ]
        write_lines(folder / "scores.jsonl", rows)
        return {}

    sealed = asking.store.make("verdicts", fingerprint(identity), build, identity)
    report = header(suite, "rating", "rating.words", sealed, fingerprint([item.id for item in items]))
    scores = [row["score"] for row in sealed.rows("scores.jsonl")]
    rate = 100 * sum(scores) / len(scores)
    return {
        **report,
        "rating": rate,
        "standard_error": 1.0,
        "ci95": [rate - 2, rate + 2],
        "n_items": len(items),
        "n_scored": len(items),
    }


@pytest.fixture
def rating(monkeypatch):
    monkeypatch.setitem(KINDS, "rating", Kind("rating", "rating", rating_report, lambda report: "its words"))
    known = resolve.load_suite
    monkeypatch.setattr(
        evaluator, "load_suite", lambda name, aliases: Chat() if name == "chat" else known(name, aliases)
    )


def evaluated(store, folder, method, answer):
    """The written report of a run whose policy says the same to everything."""
    policy = artifact(folder / "policy", "policy", answers={"*": [answer, answer]}, logprobs={answer: -1.0})
    run = SimpleNamespace(
        method=method, seed=0, path=folder, policy=policy, lineage=[("sft", policy), (method, policy)]
    )
    recipe = load_recipe("nano", ["evaluation.dev_pairs=0"])
    report = evaluate_run(run, store, recipe, TableEngine(), ["chat"], silent)
    write_report(folder / "report.json", report)
    return read_report(folder / "report.json")


def test_a_new_kind_goes_from_evaluation_to_gate_and_leaderboard(rating, store, tmp_path):
    good = evaluated(store, tmp_path / "ppo", "ppo", "one two three four five six seven")
    bad = evaluated(store, tmp_path / "sft", "sft", "one two three four")
    [suite] = good["suites"]
    assert headline(suite) == pytest.approx(100 * 6 / 9)
    assert (suite["kind"], suite["headline"]) == ("rating", "rating")

    assert summarize(good)[0][1][1] == ("chat", "rating 66.67 ± 1.00", "64.7 to 68.7", "400/400", "its words")
    assert render(good) is not None

    snapshots = [take_snapshot(store, None, tmp_path / name / "report.json") for name in ("ppo", "sft")]
    assert len(snapshots[0].suites["chat"].scores) == QUESTIONS
    assert judge_candidate(snapshots[0], snapshots[1], {}).verdict == "regression"
    assert judge_candidate(snapshots[1], snapshots[0], {}).verdict == "pass"

    scores = {r["method"]: {0: item_scores(store.file, r["suites"][0])} for r in (good, bad)}
    [row] = compare(scores, [("sft", "ppo")])
    assert row["difference"] == pytest.approx(-100 / 3)

    for format in FORMATS:
        assert "66.6" in Table().render([good, bad], format).replace("66.7", "66.6"), format


def test_a_kind_that_nobody_knows_is_one_line_with_those_that_are(rating, store, tmp_path, monkeypatch):
    monkeypatch.delitem(KINDS, "rating")
    with pytest.raises(UnknownName) as error:
        evaluated(store, tmp_path / "sft", "sft", "hello")
    assert str(error.value).startswith('suite "chat": kind "rating" is not known; ')
    for kind in ("win_rate", "options", "pairs", "few_shot"):
        assert kind in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(store.root.glob("artifacts/*"))  # before anything was asked


def test_every_kind_is_listed_under_its_own_name():
    assert list(KINDS) == ["win_rate", "options", "pairs", "few_shot"]
    assert all(kind_of("a suite", name).name == name for name in KINDS)
