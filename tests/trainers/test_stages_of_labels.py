"""Who labels a policy's samples: the reward model, the policy, the annotator; and policies without weights."""

import json
import math
import shutil
from dataclasses import replace

import pytest
from tiny import PROMPTING, file_bytes

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.types import Artifact, Decoding, Sample
from rlp_bench.trainers.data.row_accounting import RowAccount
from rlp_bench.trainers.policies.best_of_n import BestOfN
from rlp_bench.trainers.policies.constant import ConstantAnswer
from rlp_bench.trainers.preferences.category_balance import balanced
from rlp_bench.trainers.preferences.from_reward import RewardPairs
from rlp_bench.trainers.preferences.more_annotations import Annotate
from rlp_bench.trainers.preferences.rlaif import PolicyAsJudge
from rlp_bench.trainers.preferences.sample_pairs import sample_pairs

WORDS = "abcdefgh"


def sampled(instruction, *texts, finished=True):
    responses = [{"text": text, "tokens": len(text.split()), "finished": finished} for text in texts]
    return {"instruction": instruction, "input": "", "responses": responses, "category": "qa"}


@pytest.fixture
def samples(artifact):
    """Eight prompts with four different samples, one with equal ones, one that never ends."""
    rows = [sampled(f"what is {w}", "a", "a b", "a b c", "a b c d") for w in WORDS]
    return artifact(
        "samples",
        [*rows, sampled("what is same", "a", "a", "a"), sampled("what is cut", "a", "b", finished=False)],
    )


class Lengths:
    """Scores by characters; log-probability -1 a token, EOS for nothing; says A two times out of three."""

    def score(self, reward, prompts, responses):
        return [float(len(response.text)) for response in responses]

    def logprobs(self, policy, prompts, responses):
        return [-float(response.tokens) for response in responses]

    def options(self, policy, stems, options):
        assert all(list(choice) == [" A", " B"] for choice in options)
        self.stems = stems
        return [[math.log(2 / 3), math.log(1 / 3)] for _ in stems]


def reward(context):
    return Artifact("reward", "r" * 64, context.scratch)


def test_all_labellers_are_shown_the_same_two_samples(samples):
    rows = samples.rows()
    account = RowAccount(len(rows))
    one = [(a.text, b.text) for _, a, b in sample_pairs(rows, 3, account)]
    assert account.drops == {"identical": 1, "too_few_kept": 1}
    assert one == [(a.text, b.text) for _, a, b in sample_pairs(rows, 3, RowAccount(len(rows)))]
    assert one != [(a.text, b.text) for _, a, b in sample_pairs(rows, 4, RowAccount(len(rows)))]
    assert all(a != b for a, b in one)
    assert any(len(a) > len(b) for a, b in one)
    assert any(len(a) < len(b) for a, b in one)  # which is first is random too


def test_the_reward_model_prefers_what_it_scores_higher(samples, context, train):
    out = train(
        RewardPairs(), "pairs", replace(context, engine=Lengths()), samples=samples, reward=reward(context)
    )
    rows = out.rows()
    assert len(rows) == len(WORDS)
    assert all(len(row["chosen"]) > len(row["rejected"]) for row in rows)
    assert {(row["source"], row["category"]) for row in rows} == {("reward_pairs", "qa")}
    assert (out.metrics["dropped_identical"], out.metrics["dropped_too_few_kept"]) == (1, 1)


def test_likelihood_is_a_mean_per_token_and_says_that_it_is_a_stand_in(samples, context, train, policy):
    # By hand: -tokens / (tokens + 1) falls with length, so the shorter of two samples is preferred.
    given = replace(context, engine=Lengths())
    out = train(PolicyAsJudge(how="likelihood"), "likelihood", given, samples=samples, policy=policy)
    assert out.metrics["stand_in"] == 1.0
    assert all(len(row["chosen"]) < len(row["rejected"]) for row in out.rows())
    row = next(row for row in out.rows() if (row["chosen_tokens"], row["rejected_tokens"]) == (1, 4))
    assert row["probability"] == pytest.approx(1 / (1 + math.exp(-(4 / 5 - 1 / 2))))


def test_a_policy_that_looks_only_at_letters_is_undecided_in_both_orders(samples, context, train, policy):
    engine = Lengths()
    out = train(PolicyAsJudge(), "letters", replace(context, engine=engine), samples=samples, policy=policy)
    assert out.rows() == []
    assert out.metrics["dropped_undecided"] == len(WORDS)
    assert out.metrics["says_a"] == pytest.approx(2 / 3)
    assert out.metrics["orders_disagree"] == 1.0  # position bias: A both times
    assert (out.metrics["stand_in"], len(engine.stems)) == (0.0, 2 * len(WORDS))
    first, turned = engine.stems[:2]
    assert first != turned
    assert sorted(first) == sorted(turned)


def test_a_placeholder_in_a_sample_stays_text(artifact, context, train, policy):
    engine = Lengths()
    rows = artifact("samples", [sampled("what is {second}", "{first}", "{instruction} {second}")])
    train(PolicyAsJudge(), "hostile", replace(context, engine=engine), samples=rows, policy=policy)
    assert all("{first}" in stem and "{instruction} {second}" in stem for stem in engine.stems)


def test_a_real_policy_is_prompted_in_both_orders(samples, context, train, policy, tmp_path):
    roomy = tmp_path / "roomy"
    shutil.copytree(policy.path, roomy)
    config = json.loads((roomy / "config.json").read_text())
    (roomy / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1024}))
    asked = Artifact("policy", "q" * 64, roomy)
    with pytest.raises(DataError, match=r"cannot tell the answers A and B apart.*likelihood"):
        train(PolicyAsJudge(), "letterless", samples=samples, policy=asked)
    words = json.loads((roomy / "tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary.pop("f"), vocabulary.pop("g")
    (roomy / "tokenizer.json").write_text(json.dumps(words))
    asked = Artifact("policy", "s" * 64, shutil.copytree(roomy, tmp_path / "lettered"))
    out = train(PolicyAsJudge(), "prompted", samples=samples, policy=asked)
    assert out.rows()
    assert 0 < out.metrics["says_a"] < 1
    assert all(0.5 < row["probability"] < 1 for row in out.rows())


def test_the_annotator_labels_as_many_as_another_stage_made(samples, artifact, context, train):
    like = artifact("preferences", [{"instruction": "x"}] * 3)
    out = train(Annotate(), "three", samples=samples, like=like)
    assert len(out.rows()) == 3
    assert out.metrics["dropped_beyond_count"] == len(WORDS) - 3
    assert {row["source"] for row in out.rows()} == {"annotate"}
    more = train(
        Annotate(), "more", samples=samples, like=artifact("preferences", [{"instruction": "x"}] * 99)
    )
    assert (len(more.rows()), more.metrics["short_by"]) == (len(WORDS), 99 - len(WORDS))
    assert all(len(row["chosen"]) > len(row["rejected"]) for row in more.rows())  # PrefersLonger
    other = train(Annotate(), "seed", replace(context, seed=1), samples=samples, like=like)
    assert other.rows() != out.rows()


def test_without_an_annotator_there_is_one_line(samples, context, train):
    with pytest.raises(BenchError, match=r"annotate: no annotator; name a judge"):
        train(Annotate(), "nobody", replace(context, annotator=None), samples=samples)


def test_as_many_pairs_are_accepted_of_every_category_as_its_share():
    """By hand: 4 of 8 accepted by confidence, all "qa"; balanced: 2 of each, the surest, the first of equal ones."""
    rows = [{"category": "qa"}] * 4 + [{"category": "list"}] * 4
    sure = [({"confidence": c}, "") for c in (0.9, 0.8, 0.7, 0.6)]
    unsure = [({"confidence": c}, "below_confidence") for c in (0.2, 0.4, 0.4)]
    found = balanced(rows, [*sure, *unsure, ({}, "one_cluster")])
    assert [reason for _, reason in found] == [
        "", "", "below_confidence", "below_confidence", "below_confidence", "", "", "one_cluster"
    ]  # fmt: skip


def test_balance_needs_categories():
    with pytest.raises(DataError, match="balance by category"):
        balanced([{"instruction": "x"}], [({"confidence": 1.0}, "")])


def test_the_longest_of_n_needs_no_reward_model(policy, prompts, train, context):
    longest = train(BestOfN(by="length", n=4), "longest", policy=policy)
    assert json.loads((longest.path / "best_of_n.json").read_text())["reward"] is None
    asked = [PROMPTING.render(row["instruction"]) for row in prompts.rows()[:6]]
    decoding = Decoding(1.0, 1.0, PROMPTING.max_response_tokens)
    four = context.engine.sample(policy.path, asked, decoding, n=4, seed=5)
    chosen = context.engine.sample(longest.path, asked, decoding, n=1, seed=5)
    assert [len(one.text) for (one,) in chosen] == [max(len(s.text) for s in drawn) for drawn in four]
    with pytest.raises(BenchError, match='needs the input "reward"'):
        train(BestOfN(), "nobody", policy=policy)


def test_the_constant_policy_says_the_commonest_answer_to_everything(policy, prompts, train, context):
    constant = train(ConstantAnswer(prompts=50), "constant", policy=policy, prompts=prompts)
    text = json.loads((constant.path / "constant.json").read_text())["text"]
    decoding = Decoding(1.0, 1.0, 8)
    drawn = context.engine.sample(constant.path, ["one", "two"], decoding, n=2, seed=1)
    assert {s.text for each in drawn for s in each} == {text}
    assert 0 < constant.metrics["share"] <= 1
    own = Sample(text, 1, True)
    assert context.engine.logprobs(constant.path, ["one"] * 2, [own, Sample("another", 1, True)]) == [
        0.0,
        -math.inf,
    ]
    options = [["a", "b"]]
    assert context.engine.options(constant.path, ["what is a"], options) == context.engine.options(
        policy.path, ["what is a"], options
    )
    given = train(ConstantAnswer(text="i do not know ."), "given", policy=policy, prompts=prompts)
    assert context.engine.sample(given.path, ["one"], decoding)[0][0].text == "i do not know ."


@pytest.mark.parametrize("stage", [RewardPairs(), PolicyAsJudge(how="likelihood"), Annotate()])
def test_same_seed_same_bytes(stage, samples, policy, context, train):
    given = replace(context, engine=Lengths())
    inputs = {"samples": samples, "policy": policy, "reward": reward(context)}
    mine = {name: inputs[name] for name in stage.inputs if name in inputs}
    one, two = train(stage, "one", given, **mine), train(stage, "two", given, **mine)
    assert file_bytes(one.path) == file_bytes(two.path)
