"""The gold utility orders answers as it should."""

import pytest

from rlp_bench.micro import load_world, writing
from rlp_bench.micro.knowledge import truth
from rlp_bench.micro.tasks import OBJECTIVE

WORLD = load_world()


def _fact(attribute="color"):
    """(entity, true value, a false value)."""
    from rlp_bench.micro import lexicon as lx

    true = truth().value("fox", attribute)
    return "fox", true, next(v for v in lx.VALUES[attribute] if v != true)


def test_utility_of_a_closed_question_by_hand():
    _, true, false = _fact()
    ask = "what is the color of the fox ?"
    assert WORLD.utility(ask, f"the fox is {true} .") == 2  # one right claim, unit 2
    assert WORLD.utility(ask, f"{false} .") == -2
    assert WORLD.utility(ask, f"sure ! {true} .") == 2  # politeness is worth nothing
    assert WORLD.utility(ask, f"the fox is {true} .", finished=False) == 1
    assert WORLD.utility(ask, f"the fox is {true} . the fox is {true} .") == 1.5  # a repetition costs a half
    assert WORLD.utility(ask, f"the fox is {true} . fox the .") == 1  # a broken sentence costs 1
    assert WORLD.utility(ask, "") == -1  # silence
    assert WORLD.utility(ask, "fox " * 25) == -3  # 25 tokens outside the language: three times ten begun


def test_utility_of_a_description_counts_seven_facts():
    facts = truth().facts["fox"]
    everything = writing.say("fox", *facts.values(), "animal")
    assert WORLD.utility("describe the fox .", everything) == 7
    wrong = _fact()[2]
    assert WORLD.utility("describe the fox .", f"the fox is {wrong} .") == -1  # unit 1 for open skills


def test_what_was_given_is_the_truth_of_a_combination():
    ask = "combine these facts : the fox is tiny . it is best in winter ."
    assert WORLD.utility(ask, "the fox is best in winter and tiny .") == 2
    assert WORLD.utility(ask, "the fox is tiny . it is best in winter .") == 1.5  # not one sentence
    assert WORLD.utility(ask, "the fox is tiny and best in spring .") == 0


def test_a_list_that_names_too_many_pays_for_it():
    category, value = "animal", truth().facts["fox"]["texture"]
    found = truth().matches(category, (value,))
    assert len(found) >= 3
    ask = f"list two animals that are {value} ."
    assert WORLD.utility(ask, writing.name_all(list(found[:2])) + " .") == 2
    assert WORLD.utility(ask, writing.name_all(list(found[:3])) + " .") == 1.5


def test_perfect_beats_the_expert_with_an_error_beats_garbage():
    worse = 0
    for item in WORLD.alpacafarm():
        best = WORLD.utility(item.instruction, writing.perfect(item.instruction))
        expert = WORLD.utility(item.instruction, item.reference)
        garbage = WORLD.utility(item.instruction, "the of red " * 16)
        if item.category in OBJECTIVE:
            assert best >= expert
        if item.category in OBJECTIVE and expert < best:
            worse += 1
        assert garbage < best
        assert garbage <= -5
    assert worse > 60  # the expert is not perfect


@pytest.mark.parametrize(
    "response",
    ["", " ", "\x00\ud800", "🦊 " * 40, "- - -", ". . .", "the", "yes , yes , yes", "both are both are ."],
)
@pytest.mark.parametrize(
    "instruction",
    [
        "describe the fox .",
        "which is larger , the fox or the wolf ?",
        "",
        "what ?",
        "list two animals that are red .",
    ],
)
def test_any_text_has_a_utility_and_a_verdict(instruction, response):
    assert isinstance(WORLD.utility(instruction, response), float)
    WORLD.claims(instruction, response)
    assert 0 < WORLD.annotators()[0].preference(instruction, response, "sure !") < 1
