"""Blind pairs, orders, coverage: what may not move a number does not, and what is missing is counted."""

import os
import subprocess
import sys

import pytest
from evaluation_parts import Likes, answers, silent
from hypothesis import given
from hypothesis import strategies as st

from rlp_bench.api.errors import BenchError, DataError, UnknownName
from rlp_bench.api.types import Item, Pair, Verdict, mean_over_orders
from rlp_bench.evaluation.outputs import import_outputs
from rlp_bench.evaluation.verdicts import (
    judge_items,
    orders_of,
    policy_preference,
    read_verdicts,
    score_items,
    seal_verdicts,
)
from rlp_bench.evaluation.win_rate_report import warnings, win_rate_report
from rlp_bench.judges.controls import Constant, Longest


def report_of(items, rows, judge, order="both", allow_missing=True):
    verdicts = judge_items(items, rows, judge, order, silent)
    return win_rate_report(items, rows, verdicts, judge.manifest(), allow_missing=allow_missing)


@pytest.mark.parametrize("side", ["first", "second"])
def test_constant_judge_gives_exactly_fifty_in_both_orders(items, side):
    report = report_of(items, answers(items, 3), Constant(side))
    assert report["win_rate"] == 50.0
    assert report["standard_error"] == 0.0
    assert report["position_gap"] == (100.0 if side == "first" else -100.0)


def test_constant_judge_gives_the_share_shown_first_in_single_order():
    items = [Item(f"q{i}", reference="r") for i in range(400)]
    rows = answers(items, 400)
    first = sum(orders_of(i, rows[i.id]["output"], "single") == ("policy_first",) for i in items)
    assert report_of(items, rows, Constant(), "single")["win_rate"] == pytest.approx(100 * first / 400)
    assert 160 < first < 240  # a fair assignment, fixed by content


def test_single_order_depends_on_the_answer_not_on_the_instruction_alone():
    # P1: AlpacaEval shows every model in the same position for an instruction.
    item = Item("q", reference="r")
    shown = {orders_of(item, f"answer {i}", "single") for i in range(40)}
    assert len(shown) == 2
    assert orders_of(item, "x", "single") == orders_of(item, "x", "random")


@pytest.mark.parametrize("order", ["both", "single", "policy_first", "reference_first"])
def test_the_policy_wins_all_where_only_it_has_the_word(items, order):
    # P3: a swap that is not mapped back, or mapped twice, would not give 100.
    assert report_of(items, answers(items, 10), Likes(), order)["win_rate"] == 100.0
    assert report_of(items, answers(items, 0), Likes("plain"), order)["win_rate"] == 0.0


@given(p=st.floats(0, 1))
def test_swapping_the_order_is_an_involution(p):
    row = {"order": "policy_first", "preference_first": p}
    turned = {"order": "reference_first", "preference_first": 1 - p}
    assert policy_preference(row) == pytest.approx(policy_preference(turned))


def test_unknown_order_is_refused(items):
    with pytest.raises(UnknownName, match='did you mean "both"'):
        judge_items(items, answers(items, 1), Likes(), "bothh", silent)


def test_identical_answers_tie_without_a_call():
    items = [Item("q", reference="same"), Item("p", reference="other")]
    rows = {items[0].id: {"output": "same"}, items[1].id: {"output": "good"}}
    judge = Likes()
    report = report_of(items, rows, judge)
    assert {pair.instruction for pair in judge.asked} == {"p"}
    assert report["identical"] == 1
    assert report["win_rate"] == 75.0


def test_garbage_is_counted_and_moves_nothing_else():
    # P5, P6: 10 % unparsed; the score among the parsed is the same, the bounds say what could have been.
    items = [Item(f"q{i}", reference="plain") for i in range(100)]
    rows = answers(items, 40)
    bad = [f"q{i}" for i in range(0, 100, 10)]
    report = report_of(items, rows, Likes(garbage=bad))
    rest = [i for i in items if i.instruction not in bad]
    clean = report_of(rest, rows, Likes())
    assert report["win_rate"] == clean["win_rate"]
    assert report["standard_error"] == clean["standard_error"]
    assert report["coverage"] == {
        "judged": 90,
        "unparsed": 10,
        "truncated": 0,
        "failed": 0,
        "missing": 0,
        "missing_output": 0,
    }
    assert (report["n_items"], report["n_scored"]) == (100, 90)
    # 36 good answers of the 90 win, the other 54 tie at 0 against 0 words: (36 + 27) / 100 and + 10.
    assert report["bounds"] == [63.0, 73.0]
    assert "10 of 100 items have no score" in warnings(report)[0]


def test_more_than_one_percent_without_a_verdict_is_no_result():
    items = [Item(f"q{i}", reference="plain") for i in range(200)]
    rows = answers(items, 40)
    two, three = [["q0", "q1"], ["q0", "q1", "q2"]]
    assert report_of(items, rows, Likes(garbage=two), allow_missing=False)["n_scored"] == 198
    with pytest.raises(
        DataError, match=r"3 of 200 items have no verdict \(197 judged, 3 unparsed.*--allow-missing"
    ):
        report_of(items, rows, Likes(garbage=three), allow_missing=False)


def test_a_reply_that_was_cut_is_counted_apart(items):
    class Cut(Likes):
        def _one(self, pair: Pair) -> Verdict:
            cut = pair.instruction == items[0].instruction
            return Verdict(None, "truncated: the reply was cut at 16 tokens") if cut else super()._one(pair)

    found = report_of(items, answers(items, 5), Cut())["coverage"]
    assert (found["truncated"], found["failed"], found["judged"]) == (1, 0, 9)


def test_item_with_one_order_unparsed_is_not_scored_by_the_other(items):
    class Half(Likes):
        def _one(self, pair: Pair) -> Verdict:
            return Verdict(None, "unparsed") if pair.first.startswith("plain") else super()._one(pair)

    with pytest.raises(BenchError, match="no verdict on any of 10 items"):
        report_of(items, answers(items, 5), Half())


def test_too_few_verdicts_are_an_error_not_a_shift(items):
    # P17: one verdict of a batch is lost; all others would move by one.
    class Short(Likes):
        def judge(self, pairs, seed=0):
            return super().judge(pairs, seed)[:-1]

    with pytest.raises(BenchError, match="returned 19 verdicts for 20 pairs"):
        report_of(items, answers(items, 5), Short())


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_preference_outside_its_range_is_refused(items, value):
    class Wild(Likes):
        def _one(self, pair):
            return Verdict(value)

    with pytest.raises(BenchError, match="expected a number in"):
        report_of(items, answers(items, 5), Wild())


def test_missing_outputs_and_references_are_missing_not_lost(items):
    rows = answers(items, 5)
    del rows[items[0].id]
    asked = [*items[:-1], Item("nothing known", reference=None)]
    rows[asked[-1].id] = {"output": "good", "tokens": 2, "finished": True}
    report = report_of(asked, rows, Likes())
    assert report["coverage"] == {
        "judged": 8,
        "unparsed": 0,
        "truncated": 0,
        "failed": 0,
        "missing": 2,
        "missing_output": 1,
    }
    assert report["n_scored"] == 8


def test_subsets_are_means_of_their_own_items(items):
    report = report_of(items, answers(items, 5), Likes())
    # Good: 0..4. Even: 0 2 4 win, 6 8 tie -> (3 + 1) / 5 = .8; odd: 1 3 win, 5 7 9 tie -> .7.
    assert report["subsets"]["even"]["win_rate"] == 80.0
    assert report["subsets"]["odd"]["win_rate"] == 70.0
    assert report["win_rate"] == 75.0
    assert report["subsets"]["even"]["n"] == 5
    assert report["metric"] == "win_rate.binary"
    assert report["mean_length_tokens"] == 2.0


def test_empty_and_cut_answers_are_reported(items):
    rows = answers(items, 10)
    rows[items[0].id] = {"output": " ", "tokens": 0, "finished": False}
    found = warnings(report_of(items, rows, Likes()))
    assert "1 answers are empty" in found[0]
    assert "10.0 % of the answers were cut" in found[1]


def seal(store, items, rows, judge, order="both"):
    outputs = import_outputs(store, items, rows, "test")
    return seal_verdicts(store, items, outputs, rows, judge, order, silent)


def test_sealed_verdicts_are_read_not_asked_again(store, items):
    judge = Likes()
    first = seal(store, items, answers(items, 5), judge)
    asked = len(judge.asked)
    assert asked == 20
    assert seal(store, items, answers(items, 5), judge).fingerprint == first.fingerprint
    assert len(judge.asked) == asked


def test_whatever_can_change_a_verdict_makes_other_verdicts(store, items):
    # P8, P10, P12: other outputs, another reference, order, or judge setting is judged anew.
    rows = answers(items, 5)
    others = [Item(i.instruction, subset=i.subset, category="c", reference="davinci") for i in items]
    made = {
        seal(store, items, rows, Likes()).fingerprint,
        seal(store, items, answers(items, 6), Likes()).fingerprint,
        seal(store, others, rows, Likes()).fingerprint,
        seal(store, items, rows, Likes(), "single").fingerprint,
        seal(store, items, rows, Likes("bad")).fingerprint,
        seal(store, items, rows, Longest()).fingerprint,
    }
    assert len(made) == 6


def test_failed_calls_are_made_again_and_only_they(store, items):
    # P7: a failure is not cached for ever.
    rows = answers(items, 5)
    broken = Likes(failing=["ask 3"])
    scores = score_items(items, read_verdicts(seal(store, items, rows, broken)))
    assert [row["reason"] for row in scores if row["score"] is None] == ["failed: status 500"]
    mended = Likes()
    final = seal(store, items, rows, mended)
    assert [pair.instruction for pair in mended.asked] == ["ask 3", "ask 3"]
    assert all(row["score"] is not None for row in score_items(items, read_verdicts(final)))
    undisturbed = judge_items(items, rows, Likes(), "both", silent)
    assert read_verdicts(final) == undisturbed


SCRIPT = """
from rlp_bench.evaluation.verdicts import orders_of
from rlp_bench.judges.micro import MicroPool
from rlp_bench.api.types import Item, Pair
names = ("fox", "pie", "willow", "gong")
items = [Item(f"what is the color of the {x} ?", reference="it is red .") for x in names]
print([orders_of(i, "blue .", "single") for i in items])
pairs = [Pair(i.instruction, "it is blue .", "great question ! it is red .") for i in items]
print([(v.preference, v.raw) for mode in ("one", "all") for v in MicroPool(mode).judge(pairs, 3)])
"""


def test_orders_and_annotators_do_not_hang_on_the_hash_seed():
    # P2: AlpacaFarm v0 seeded with abs(hash(str)), another number in every process.
    said = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert said[0] == said[1] != ""


def test_equal_verdicts_in_both_orders_are_exactly_a_tie():
    shares = [votes / asked for asked in range(1, 40) for votes in range(asked + 1)]
    assert {mean_over_orders(share, share) for share in shares} == {0.5}
    assert mean_over_orders(1.0, 0.0) == 1.0
    assert mean_over_orders(0.25, 0.75) == 0.25
