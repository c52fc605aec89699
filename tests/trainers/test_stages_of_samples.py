"""The stages that sample and label: preferences, sample, best-of-n."""

import json
from dataclasses import replace

import pytest
from tiny import PROMPTING, file_bytes, make_policy

from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import Artifact, Decoding, Verdict
from rlp_bench.trainers.policies.best_of_n import BestOfN
from rlp_bench.trainers.policies.sample import Sample
from rlp_bench.trainers.preferences.from_annotator import Preferences
from rlp_bench.trainers.reward.trainer import RewardModel


@pytest.fixture
def many_prompts(artifact):
    texts = [f"what is {x} {y} {z}" for x in "abcdef" for y in "abcdef" for z in ("fox", "owl", "red")]
    return artifact("prompts", [{"instruction": text, "input": ""} for text in texts])


class PrefersFirst:
    """Looks at nothing but the position; remembers what it was shown."""

    name, version = "prefers_first", "1"

    def __init__(self):
        self.shown = []

    def manifest(self):
        return {}

    def judge(self, pairs, seed=0):
        self.shown += pairs
        return [Verdict(1.0) for _ in pairs]


def test_the_longer_response_is_chosen_and_every_prompt_counted(policy, many_prompts, train):
    out = train(Preferences(), "prefs", init=policy, prompts=many_prompts)
    rows = out.rows()
    assert rows
    assert all(len(row["chosen"].split()) > len(row["rejected"].split()) for row in rows)
    assert {row["source"] for row in rows} == {"annotator"}
    drops = {name: value for name, value in out.metrics.items() if name.startswith("dropped_")}
    assert {"dropped_tie", "dropped_no_verdict"} <= drops.keys()
    assert out.metrics["rows_in"] == len(rows) + sum(drops.values()) == 108
    assert not any("no" in (row["chosen"] + " " + row["rejected"]).split() for row in rows)


def test_a_judge_that_sees_only_positions_prefers_neither_sample(policy, many_prompts, context, train):
    """The position is drawn by content: what the policy drew first is shown first about half the time."""
    judge = PrefersFirst()
    out = train(
        Preferences(), "positions", replace(context, annotator=judge), init=policy, prompts=many_prompts
    )
    drawn = context.engine  # the same samples again, in the order drawn
    from rlp_bench.trainers.data.seeding import derived_seed

    prompts = [PROMPTING.render(row["instruction"]) for row in many_prompts.rows()]
    samples = drawn.sample(
        policy.path, prompts, Decoding(1.0, 1.0, 6), n=2, seed=derived_seed(0, "preferences")
    )
    first = {row["instruction"]: both[0].text for row, both in zip(many_prompts.rows(), samples, strict=True)}
    kept = [first[row["instruction"]] == row["chosen"] for row in out.rows()]
    assert 0.35 < sum(kept) / len(kept) < 0.65
    assert out.metrics["first_preferred"] == 1.0


def test_same_seed_same_pairs_and_another_seed_others(policy, many_prompts, context, train):
    one, two = (train(Preferences(), name, init=policy, prompts=many_prompts) for name in ("one", "two"))
    assert file_bytes(one.path) == file_bytes(two.path)
    other = train(Preferences(), "other", replace(context, seed=1), init=policy, prompts=many_prompts)
    assert one.rows() != other.rows()


def test_identical_responses_are_dropped(policy, many_prompts, train):
    cold = train(Preferences(temperature=1e-4), "cold", init=policy, prompts=many_prompts)
    assert cold.metrics["dropped_identical"] > 100


def test_without_an_annotator_there_are_no_preferences(policy, many_prompts, context, train):
    with pytest.raises(BenchError, match="no annotator"):
        train(Preferences(), "none", replace(context, annotator=None), init=policy, prompts=many_prompts)


def test_samples_are_as_many_as_asked_and_all_prompts_accounted_for(policy, artifact, many_prompts, train):
    rows = [*many_prompts.rows()[:9], {"instruction": "what " * 9, "input": ""}, many_prompts.rows()[9]]
    out = train(Sample(n=3, limit=10), "samples", policy=policy, prompts=artifact("prompts", rows))
    assert [len(row["responses"]) for row in out.rows()] == [3] * 9
    assert out.rows()[0]["responses"][0].keys() == {"text", "tokens", "finished"}
    metrics = out.metrics
    assert (metrics["rows_in"], metrics["dropped_beyond_limit"], metrics["dropped_prompt_too_long"]) == (
        11,
        1,
        1,
    )
    texts = {response["text"] for row in out.rows() for response in row["responses"]}
    assert len(texts) > 9


def test_best_of_n_scores_higher_and_can_be_moved(
    policy, preferences, many_prompts, context, train, tmp_path
):
    settings = RewardModel(batch=8, learning_rate=1e-2, warmup=0.0, heldout=0.2, epochs=2)
    reward = train(settings, "reward", init=policy, preferences=preferences)
    inside = Artifact("policy", "i" * 64, make_policy(tmp_path / "inside"))
    best = train(BestOfN(n=8), "best", policy=inside, reward=reward)
    written = json.loads((best.path / "best_of_n.json").read_text())
    assert (written["policy"], written["reward"]) == ("../inside", "../reward")
    assert best.metrics["kl_bound"] == pytest.approx(1.2044, abs=1e-4)  # by hand: log 8 − 7/8

    prompts = [PROMPTING.render(row["instruction"]) for row in many_prompts.rows()[:20]]

    def mean_score(folder):
        answers = [
            group[0] for group in context.engine.sample(folder, prompts, Decoding(1.0, 1.0, 6), seed=3)
        ]
        return sum(context.engine.score(reward.path, prompts, answers)) / len(answers)

    assert mean_score(best.path) > mean_score(policy.path) + 0.5


def test_best_of_n_finds_a_checkpoint_outside_the_store(policy, reward_folder_of, train):
    best = train(BestOfN(n=2), "best", policy=policy, reward=reward_folder_of)
    written = json.loads((best.path / "best_of_n.json").read_text())
    assert (best.path / written["policy"]).resolve() == policy.path.resolve()


@pytest.fixture
def reward_folder_of(tmp_path):
    (tmp_path / "some-reward").mkdir()
    return Artifact("reward", "r" * 64, tmp_path / "some-reward")
