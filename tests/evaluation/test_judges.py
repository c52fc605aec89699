"""Judges and suites of the embedded world, and the controls."""

import pytest

from rlp_bench.api.errors import DataError, UnknownName
from rlp_bench.api.protocols import Judge
from rlp_bench.api.types import Item, Pair
from rlp_bench.evaluation.resolve import is_subset, load_judge, load_suite, overlap, refuse_noise
from rlp_bench.judges.controls import Constant, Longest
from rlp_bench.judges.micro import MicroGold, MicroPool, MicroSecondPopulation
from rlp_bench.micro import load_world
from rlp_bench.suites.micro import MicroAlpacaFarm, MicroData, MicroMMLU, MicroVicuna


@pytest.fixture(scope="module")
def pairs():
    found = load_world().alpacafarm()[:60]
    return [Pair(i.instruction, i.reference, f"i hope this helps . {i.reference}") for i in found]


@pytest.mark.parametrize(
    "judge", [MicroPool("one"), MicroPool(), MicroSecondPopulation(), MicroGold(), Longest(), Constant()]
)
def test_judges_speak_the_protocol_and_repeat_themselves(judge, pairs):
    assert isinstance(judge, Judge)
    first = judge.judge(pairs, seed=1)
    assert judge.judge(pairs, seed=1) == first
    assert all(0 <= v.preference <= 1 for v in first)
    assert judge.manifest()["noise"] == 0.0
    backwards = judge.judge(list(reversed(pairs)), seed=1)
    assert list(reversed(backwards)) == first  # a verdict does not hang on what was asked before it


def test_one_annotator_answers_yes_or_no_and_is_the_same_in_both_orders(pairs):
    judge = MicroPool("one")
    given = judge.judge(pairs, seed=3)
    turned = judge.judge([Pair(p.instruction, p.second, p.first) for p in pairs], seed=3)
    assert {v.preference for v in given} <= {0.0, 1.0}
    assert [v.raw for v in given] == [v.raw for v in turned]
    assert len({v.raw for v in given}) > 8  # of 13
    assert [v.raw for v in judge.judge(pairs, seed=4)] != [v.raw for v in given]


def test_the_pool_is_the_mean_of_its_thirteen(pairs):
    people = load_world().annotators("crowd")
    for pair, verdict in zip(pairs[:10], MicroPool("all").judge(pairs[:10], seed=2), strict=True):
        votes = [p.verdict(pair.instruction, pair.first, pair.second, seed=2) for p in people]
        assert verdict.preference == sum(votes) / 13


def test_second_population_is_another_one(pairs):
    pool, second = (judge.judge(pairs) for judge in (MicroPool(), MicroSecondPopulation()))
    assert pool != second
    assert MicroSecondPopulation().manifest()["population"] == "second"


def test_gold_compares_utilities_and_ties_at_equal_worth():
    world = load_world()
    instruction = next(i.instruction for i in world.alpacafarm() if i.category == "qa")
    reference = world.reference(instruction)
    polite = f"{reference} i hope this helps ."
    same = Pair(instruction, reference, polite)
    worse = Pair(instruction, reference, "the the the")
    equal, better = MicroGold().judge([same, worse])
    assert equal.preference == 0.5
    assert better.preference == float(
        world.utility(instruction, reference) > world.utility(instruction, "the the the")
    )
    [turned] = MicroGold().judge([Pair(instruction, worse.second, worse.first)])
    assert turned.preference == 1 - better.preference


def test_longest_counts_characters():
    # P22, P28: a judge that sees nothing but length is right every time about length.
    found = Longest().judge([Pair("q", "aaa", "b"), Pair("q", "b", "aaa"), Pair("q", "aa", "bb")])
    assert [v.preference for v in found] == [1.0, 0.0, 0.5]


def test_arguments_that_mean_nothing_are_refused():
    for judge, argument in ((Longest, "x"), (MicroGold, "x"), (Constant, "firts"), (MicroPool, "som")):
        with pytest.raises(UnknownName):
            judge(argument)


def test_label_noise_is_refused_in_evaluation():
    # P28: the 25 % of the training labels must not be on in evaluation.
    with pytest.raises(DataError, match="flips 25%"):
        refuse_noise("pool", {"noise": 0.25})
    assert load_judge("micro_pool:all").name == "micro_pool"


def test_vicuna_is_found_inside_the_805():
    # P14
    whole, part = MicroAlpacaFarm().items(), MicroVicuna().items()
    assert (len(whole), len(part)) == (805, 80)
    assert is_subset(part, whole)
    assert not is_subset(whole, part)
    assert overlap(part, {"alpacafarm": whole}) == ("alpacafarm", 80)
    spaced = [Item(part[0].instruction.upper() + "  "), Item("another question")]
    assert overlap(spaced, {"alpacafarm": whole}) == ("alpacafarm", 1)
    assert overlap([Item("another question")], {"alpacafarm": whole}) is None


def test_splits_are_rows_and_unknown_ones_are_refused():
    data = MicroData()
    assert set(data.split("sft", 3)[0]) == {"instruction", "input", "response"}
    rows = data.split("dev", 30)
    assert {frozenset(row) for row in rows} == {frozenset({"instruction", "input", "category"})}
    assert len({row["category"] for row in rows}) > 3
    assert len(data.split("preferences", 7)) == 7
    with pytest.raises(DataError, match='no split "evl"'):
        data.split("evl", 3)


def test_dev_prompts_are_no_evaluation_items():
    asked = {item.instruction for item in MicroAlpacaFarm().items()}
    assert not asked & {row["instruction"] for row in MicroData().split("dev", 500)}


def test_data_and_questions_are_told_from_win_rate_suites():
    with pytest.raises(DataError, match="training data only"):
        load_suite("micro", {})
    assert load_suite("mmlu", {"mmlu": "micro_mmlu"}).kind == "options"
    with pytest.raises(UnknownName, match='did you mean "micro_mmlu"'):
        load_suite("micro_mmul", {})
    questions = MicroMMLU().items()
    assert all(0 <= q.answer < len(q.options) for q in questions)
