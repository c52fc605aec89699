"""Synthetic preferences: what is accepted, what is counted, whose reward decides."""

from dataclasses import replace

import pytest
from tiny import file_bytes

from rlp_bench.api.types import Artifact, Sample
from rlp_bench.trainers.preferences.spg import CachedEntailment, SyntheticPreferences

QUESTION = "what is the color of the fox ?"


class LengthScores:
    """An engine for tests whose reward is the number of characters."""

    def score(self, reward, prompts, responses):
        assert all(isinstance(response, Sample) for response in responses)
        return [float(len(response.text)) for response in responses]


def sampled(instruction, *texts, finished=True):
    responses = [{"text": text, "tokens": len(text.split()), "finished": finished} for text in texts]
    return {"instruction": instruction, "input": "", "responses": responses}


@pytest.fixture
def run(train, context, artifact):
    def make(rows, name="spg", seed=0, **settings):
        chosen = SyntheticPreferences(**({"entailment": "micro_claims:0"} | settings))
        reward = Artifact("reward", "r" * 64, context.scratch)
        given = replace(context, engine=LengthScores(), seed=seed)
        return train(chosen, name, given, samples=artifact("samples", rows), reward=reward)

    return make


RED = "the fox is red ."
SAME = "red ."
BLUE, GREEN, WHITE = "blue .", "green .", "white ."


def test_the_largest_cluster_gives_the_chosen_response(run):
    # By hand: "red ." and "the fox is red ." claim the same: 6 of 10; the longer one has the larger reward.
    out = run([sampled(QUESTION, SAME, RED, RED, SAME, SAME, SAME, BLUE, GREEN, BLUE, WHITE)])
    (row,) = out.rows()
    assert row["chosen"] == RED
    assert row["rejected"] in (BLUE, GREEN, WHITE)
    assert (row["source"], row["confidence"], row["chosen_finished"]) == ("spg", 0.6, True)
    assert out.metrics["confidence_up_to_0.6"] == 1
    assert out.metrics["acceptance_rate"] == 1.0
    assert out.metrics["acceptance_out_of_range"] == 1.0  # it filters nothing here


def test_every_prompt_is_accepted_or_counted_with_its_reason(run):
    rows = [
        sampled(QUESTION, *[RED] * 5, BLUE, GREEN, WHITE, BLUE, GREEN),
        sampled("what is the color of the owl ?", *[RED] * 4, BLUE, BLUE, GREEN, GREEN, WHITE, WHITE),
        sampled("what is the color of the bear ?", *[SAME] * 10),
        sampled("what is the color of the wolf ?", *[SAME] * 7, "", " ", ""),
        sampled("what is the color of the hare ?", *[SAME] * 9, BLUE, finished=False),
    ]
    out = run(rows)
    metrics = out.metrics
    assert len(out.rows()) == metrics["rows_used"] == 1
    assert metrics["dropped_below_confidence"] == metrics["dropped_one_cluster"] == 1
    assert metrics["dropped_too_few_kept"] == 2
    assert (metrics["samples_empty"], metrics["samples_unfinished"]) == (3, 10)
    rejected = {row["instruction"]: row for row in out.rows("rejected.jsonl")}
    assert len(rejected) == 4
    below = rejected["what is the color of the owl ?"]
    assert (below["reason"], below["confidence"]) == ("below_confidence", 0.4)
    assert {"clusters", "rewards", "responses", "chosen", "rejected"} <= below.keys()


def test_empty_and_unfinished_samples_are_not_in_the_denominator(run):
    row = sampled(QUESTION, *[SAME] * 4, BLUE, GREEN, WHITE, BLUE, "", "")
    assert run([row]).rows()[0]["confidence"] == 0.5


def test_confidence_zero_accepts_every_prompt_with_two_clusters(run):
    """Select-All is this stage at γ = 0."""
    rows = [
        sampled(
            QUESTION,
            *(f"{word} ." for word in ["red", "blue", "green", "white", "black", "grey", "brown", "pink"]),
        )
    ]
    out = run(rows, confidence=0.0)
    assert out.rows()[0]["confidence"] == 1 / 8
    assert run(rows, name="strict").metrics["rows_used"] == 0


def test_a_random_winner_is_not_always_the_one_with_the_highest_reward(run):
    rows = [sampled(f"what is the color of the {e}", *[SAME] * 5, RED, *[BLUE] * 4) for e in ENTITIES]
    highest = run(rows, name="highest").rows()
    random = run(rows, name="random", winner="random").rows()
    assert {row["chosen"] for row in random} > {RED} or {row["chosen"] for row in random} == {SAME}
    assert len(highest) == len(random)


ENTITIES = ["fox", "owl", "bear", "wolf", "hare", "deer", "crow", "toad"]


def test_same_seed_same_bytes(run):
    rows = [
        sampled(f"what is the color of the {e}", *[SAME] * 5, RED, BLUE, GREEN, WHITE, BLUE) for e in ENTITIES
    ]
    one, two = run(rows, name="one"), run(rows, name="two")
    assert file_bytes(one.path) == file_bytes(two.path)


def test_equal_texts_share_a_cluster_without_a_question_and_keep_their_number():
    entailment = CachedEntailment(
        "micro_claims:1"
    )  # always wrong: only equal texts can share a cluster rightly
    assert entailment.clusters(QUESTION, [RED, RED, RED], "strict") == [0, 0, 0]
    assert entailment.calls == 0
    entailment.clusters(QUESTION, [RED, BLUE, BLUE, RED], "strict")
    assert entailment.calls == 2
    entailment.clusters(QUESTION, [BLUE, RED], "strict")
    assert entailment.calls == 2  # known already, whatever the order
    entailment.clusters(QUESTION + " ?", [BLUE, RED], "strict")
    assert entailment.calls == 4  # another question is another key


def test_a_length_matched_rejection_is_the_nearest_in_tokens(run):
    row = sampled(QUESTION, *[SAME] * 6, "blue .", "it is surely blue .", "green .", "it is white .")
    for seed in range(5):
        (pair,) = run([row], name=f"near-{seed}", seed=seed, loser="nearest_length").rows()
        assert pair["rejected_tokens"] == pair["chosen_tokens"] == 2


def test_skills_are_balanced_with_as_many_pairs(run):
    sure = [sampled(f"what is the color of the {e} ?", *[SAME] * 8, BLUE, GREEN) for e in ENTITIES[:4]]
    words = ["red", "blue", "green", "white", "black", "grey", "brown", "pink", "red", "red"]
    unsure = [sampled(f"what color has the {e} ?", *(f"{w} ." for w in words)) for e in ENTITIES[4:]]
    rows = [r | {"category": "qa"} for r in sure] + [r | {"category": "list"} for r in unsure]
    plain, even = run(rows, name="plain"), run(rows, name="even", balance="category")
    assert [row["category"] for row in plain.rows()] == ["qa"] * 4
    assert sorted(row["category"] for row in even.rows()) == ["list"] * 2 + ["qa"] * 2
    assert len(even.rows("rejected.jsonl")) == even.metrics["dropped_below_confidence"] == 4
