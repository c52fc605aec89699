"""Clusters by entailment, with tables in place of a model."""

import pytest

from rlp_bench.trainers.equations.semantic_clusters import (
    reassigning_clusters,
    same_meaning,
    semantic_clusters,
)


def table(*entails, contradicts=()):
    """`relate` over letters: "ab" means that a entails b; equal letters entail each other."""

    def make(names):
        def relate(asked):
            words = [names[i] + names[j] for i, j in asked]
            return [
                "entails" if word in entails else "contradicts" if word in contradicts else "neutral"
                for word in words
            ]

        return relate

    return make


# a ≡ b ≡ c but not a ≡ c; d ≡ e; a entails f, f does not entail a.
CHAIN = table("ab", "ba", "bc", "cb", "de", "ed", "af")


@pytest.mark.parametrize("cluster", [semantic_clusters, reassigning_clusters])
@pytest.mark.parametrize(
    ("order", "variant", "expected"),
    [
        # By hand, abcdef: a opens 0, b joins a; c is compared with a only (first member), opens 1; d 2; e joins d; f 3.
        ("abcdef", "strict", [0, 0, 1, 2, 2, 3]),
        ("bacdef", "strict", [0, 0, 0, 1, 1, 2]),
        ("abcdef", "lenient", [0, 0, 1, 2, 2, 0]),
    ],
)
def test_a_chain(cluster, order, variant, expected):
    assert cluster(6, CHAIN(order), variant) == expected


def test_first_match_keeps_what_the_published_code_reassigns():
    relate = table("px", "xp", "qx", "xq")("pqx")
    assert semantic_clusters(3, relate) == [0, 1, 0]
    assert reassigning_clusters(3, relate) == [0, 1, 1]


def test_no_contradiction_merges_two_neutrals_and_lenient_does_not():
    assert same_meaning("neutral", "neutral", "no_contradiction")
    assert not same_meaning("neutral", "neutral", "lenient")
    assert same_meaning("entails", "neutral", "lenient")
    assert not same_meaning("entails", "neutral", "strict")
    for variant in ("strict", "lenient", "no_contradiction"):
        assert not same_meaning("entails", "contradicts", variant)
        assert same_meaning("entails", "entails", variant)


def test_all_different_and_all_equal():
    assert semantic_clusters(4, table()("wxyz")) == [0, 1, 2, 3]
    assert semantic_clusters(4, lambda asked: ["entails"] * len(asked)) == [0, 0, 0, 0]
    assert semantic_clusters(0, lambda asked: []) == []


def test_asks_only_first_members_in_both_directions():
    asked = []

    def relate(pairs):
        asked.extend(pairs)
        return ["entails"] * len(pairs)

    semantic_clusters(4, relate)
    assert asked == [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)]
