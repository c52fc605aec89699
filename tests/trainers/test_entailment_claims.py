"""Entailment in the embedded world, and how wrong it is asked to be."""

import pytest

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.micro import load_world
from rlp_bench.trainers.entailment.micro_claims import ClaimEquivalence, relation_of_claims

A, B = frozenset([("color", "red")]), frozenset([("color", "red"), ("size", "big")])


def test_more_claims_entail_fewer():
    assert relation_of_claims(B, A) == "entails"
    assert relation_of_claims(A, B) == "neutral"
    assert relation_of_claims(A, A) == "entails"
    assert relation_of_claims(A, frozenset([("color", "blue")])) == "contradicts"
    assert (
        relation_of_claims(None, A)
        == relation_of_claims(A, None)
        == relation_of_claims(None, None)
        == "neutral"
    )
    assert relation_of_claims(frozenset(), A) == "neutral"


def test_two_phrasings_of_one_answer_mean_the_same():
    claims = registry.load("entailment", "micro_claims")("0")
    told = claims.entails(
        "what is the color of the fox ?",
        [
            ("red .", "the fox is red ."),
            ("the fox is red .", "red ."),
            ("red .", "blue ."),
            ("fox fox", "fox fox"),
        ],
    )
    assert told == ["entails", "entails", "contradicts", "entails"]


def test_unreadable_text_means_the_same_as_nothing_else():
    claims = ClaimEquivalence("0")
    assert claims.entails("what is the color of the fox ?", [("fox fox .", "fox is is .")]) == ["neutral"]


@pytest.mark.parametrize(("argument", "rate"), [("", 0.05), ("0.3", 0.3), ("0", 0.0), ("1", 1.0)])
def test_it_is_wrong_as_often_as_asked(argument, rate):
    texts = [row["instruction"] for row in load_world_prompts()]
    pairs = [("red .", f"{color} .") for color in ("blue", "green", "white", "black")]
    right, noisy = ClaimEquivalence("0"), ClaimEquivalence(argument)
    wrong = [
        a != b
        for text in texts
        for a, b in zip(right.entails(text, pairs), noisy.entails(text, pairs), strict=True)
    ]
    assert len(wrong) == 2000
    assert sum(wrong) / len(wrong) == pytest.approx(rate, abs=4 * (rate * (1 - rate) / len(wrong)) ** 0.5)
    assert noisy.entails(texts[0], pairs) == ClaimEquivalence(argument).entails(texts[0], pairs[::-1])[::-1]


def load_world_prompts():
    prompts = load_world().prompts("unlabeled", 500)
    return [
        {"instruction": prompt if isinstance(prompt, str) else prompt["instruction"]} for prompt in prompts
    ]


@pytest.mark.parametrize("argument", ["1.5", "-0.1", "often", "nan"])
def test_a_rate_that_is_none_is_refused(argument):
    with pytest.raises(BenchError, match=r"expected an error rate in \[0, 1\]"):
        ClaimEquivalence(argument)
