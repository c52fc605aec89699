"""Simulated annotators: noisy, biased as they say, deterministic."""

from dataclasses import replace
from itertools import combinations
from statistics import mean

import pytest

from rlp_bench.micro import Annotator, load_world, writing
from rlp_bench.micro.chance import stream
from rlp_bench.micro.knowledge import beliefs

WORLD = load_world()
ITEMS = WORLD.alpacafarm()[::2]


def _two_answers(text: str) -> tuple[str, str]:
    """Two answers about as an SFT model samples them; docs/micro.md has the figures of a real one."""
    answers = []
    for side in "ab":
        rng = stream("test", side, text)
        answers.append(
            writing.Writer(beliefs(f"test-{side}", 0.3), 0.2, 0.25, rng.random()).answer(text, rng)
        )
    return answers[0], answers[1]


PAIRS = [(item.instruction, *_two_answers(item.instruction)) for item in ITEMS]
PAIRS = [(x, a, b) for x, a, b in PAIRS if a != b]


@pytest.mark.parametrize("name", ["crowd", "second"])
def test_two_annotators_agree_on_65_to_75_percent(name):
    votes = [[a.verdict(*pair) for a in WORLD.annotators(name)] for pair in PAIRS]
    agreement = mean(mean(x == y for x, y in combinations(row, 2)) for row in votes)
    assert 0.65 <= agreement <= 0.75


def test_there_are_thirteen_different_ones_in_either_population():
    crowd, second = WORLD.annotators(), WORLD.annotators("second")
    assert len(crowd) == len(second) == 13
    assert len(set(crowd) | set(second)) == 26
    with pytest.raises(ValueError, match="humans"):
        WORLD.annotators("humans")


def test_populations_are_biased_differently():
    assert mean(a.length for a in WORLD.annotators()) > 0.3
    assert mean(a.length for a in WORLD.annotators("second")) < 0
    plain, padded = "the fox is huge .", "sure ! here is my answer . the fox is huge . i hope this helps ."
    ask = "what is the size of the fox ?"
    assert mean(a.preference(ask, padded, plain) for a in WORLD.annotators()) > 0.6
    assert mean(a.preference(ask, padded, plain) for a in WORLD.annotators("second")) < 0.5


def test_the_order_of_showing_does_not_matter_without_position_bias():
    for annotator in WORLD.annotators():
        fair = replace(annotator, position=0.0)
        for x, a, b in PAIRS[:40]:
            assert fair.preference(x, a, b) == pytest.approx(1 - fair.preference(x, b, a), abs=1e-12)
    biased = Annotator("test", position=1.0)
    assert biased.preference("describe the fox .", "sure !", "sure !") > 0.8


def test_an_attentive_annotator_without_tastes_follows_the_gold_utility():
    judge = Annotator("gold", attention=1.0, noise=0.5)
    for x, a, b in PAIRS[:100]:
        gap = WORLD.utility(x, a) - WORLD.utility(x, b)
        preference = judge.preference(x, a, b)
        assert (preference > 0.5) == (gap > 0) or gap == 0


def test_a_missed_error_looks_right():
    blind = Annotator("blind", attention=0.0)
    right = writing.perfect("describe the fox .", 1)
    assert blind.score("what is the size of the fox ?", "tiny .") == blind.score(
        "what is the size of the fox ?", "huge ."
    )
    assert blind.score("describe the fox .", right) > 0


def test_flipping_turns_the_stated_share_of_verdicts_round():
    turned = mean(
        a.verdict(*pair) != a.verdict(*pair, flip=0.25) for pair in PAIRS for a in WORLD.annotators()
    )
    # about 5 000 verdicts: one standard deviation is .6 points
    assert abs(turned - 0.25) < 0.025


def test_verdicts_are_sampled_from_the_preference():
    pairs = [(pair, a) for pair in PAIRS[:100] for a in WORLD.annotators()]
    share = mean(a.verdict(*pair) for pair, a in pairs)
    assert abs(share - mean(a.preference(*pair) for pair, a in pairs)) < 0.04
    seeds = [a.verdict(*pair, seed=seed) for seed in range(20) for pair, a in pairs[:20]]
    assert len(set(seeds)) == 2
