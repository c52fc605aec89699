"""vLLM draws what the transformers engine would, up to the generator: greedy, distribution, ends, indirect policies."""

import json
import shutil

import pytest
from vllm_worlds import make_llama, word_tokenizer

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.protocols import Engine, FewShotEngine
from rlp_bench.api.types import Decoding, Sample

DECODING = Decoding(max_response_tokens=20)
GREEDY = Decoding(temperature=0.0, max_response_tokens=20)


@pytest.fixture(scope="module")
def engine():
    made = registry.load("engine", "vllm")(device="cpu", processes=1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def ours():
    return registry.load("engine", "transformers")(device="cpu", processes=1)


@pytest.fixture(scope="module")
def drawn(engine, policy, prompts):
    return engine.sample(policy, prompts, DECODING, n=3, seed=5)


def test_texts_lengths_and_ends_are_right(drawn):
    tokenizer = word_tokenizer()
    flat = [sample for samples in drawn for sample in samples]
    assert [len(samples) for samples in drawn] == [3] * 40
    assert {sample.finished for sample in flat} == {True, False}
    for sample in flat:
        assert not {"<eos>", "<end>"} & set(sample.text.split())
        assert sample.tokens == 20 if not sample.finished else sample.tokens < 20
        if sample.text and "<" not in sample.text:
            assert len(tokenizer.encode(sample.text)) <= sample.tokens
    assert len({sample.text for sample in flat}) > 100


def test_every_eos_of_the_checkpoint_ends_a_response(engine, policy, prompts, tmp_path):
    """The tokenizer's <eos> and the generation config's <end>: with <end> unknown, responses are longer."""
    lone = tmp_path / "lone"
    shutil.copytree(policy, lone)
    for name in ("config.json", "generation_config.json"):
        told = json.loads((lone / name).read_text())
        (lone / name).write_text(json.dumps(told | {"eos_token_id": 1}))
    both, one = (engine.sample(folder, prompts, DECODING, n=4, seed=1) for folder in (policy, lone))
    ends = [sum(sample.finished for samples in found for sample in samples) for found in (both, one)]
    assert ends[0] > ends[1] > 0
    for shorter, longer in zip(both, one, strict=True):
        for left, right in zip(shorter, longer, strict=True):
            assert right.text.startswith(left.text), (
                "the same draws up to the token that one does not know as an end"
            )


def test_greedy_is_the_transformers_engine(engine, ours, policy, prompts):
    assert engine.sample(policy, prompts, GREEDY) == ours.sample(policy, prompts, GREEDY)


def test_narrow_heads_are_widened_and_compute_the_same(engine, ours, prompts, tmp_path):
    for head_dim, more in ((16, {}), (8, {"attention_bias": True})):
        folder = make_llama(tmp_path / f"narrow{head_dim}", seed=3, head_dim=head_dim, **more)
        assert engine.sample(folder, prompts, GREEDY) == ours.sample(folder, prompts, GREEDY)


def test_a_seed_is_one_result_whatever_is_asked_beside_it(engine, policy, prompts, drawn):
    assert engine.sample(policy, prompts, DECODING, n=3, seed=5) == drawn
    assert engine.sample(policy, prompts, DECODING, n=3, seed=6) != drawn
    alone = engine.sample(policy, prompts[:2], DECODING, n=3, seed=5)
    assert alone == drawn[:2]
    fewer = engine.sample(policy, prompts, DECODING, n=1, seed=5)
    assert [samples[0] for samples in drawn] == [samples[0] for samples in fewer]


def test_first_tokens_follow_the_policy(engine, policy):
    """χ² of 4000 first tokens against the model's own probabilities; 99.9 % of right samplers are below the limit."""
    import torch
    from scipy.stats import chi2

    from rlp_bench.trainers.modeling.checkpoints import load_policy

    model, tokenizer = load_policy(policy)
    row = tokenizer.encode("w1 w7 w3", return_tensors="pt")
    for decoding in (Decoding(1.0, 1.0, 1), Decoding(0.7, 1.0, 1), Decoding(1.0, 0.8, 1)):
        with torch.no_grad():
            chances = (model(row).logits[0, -1] / decoding.temperature).softmax(-1)
        if decoding.top_p < 1:
            ordered, order = chances.sort(descending=True)
            chances[order[(ordered.cumsum(0) - ordered) >= decoding.top_p]] = 0
            chances /= chances.sum()
        (found,) = engine.sample(policy, ["w1 w7 w3"], decoding, n=4000, seed=2)
        ids = [tokenizer.encode(sample.text) or [0] for sample in found]  # special tokens leave no text
        counts = torch.bincount(torch.tensor([each[0] for each in ids]), minlength=len(chances)).double()
        chances = chances.double()
        special = [token for token in tokenizer.all_special_ids if token != 0]
        chances[0] += chances[special].sum()
        chances[special] = 0
        likely = chances * 4000 > 5
        assert counts[chances == 0].sum() == 0
        observed = torch.cat([counts[likely], counts[~likely].sum()[None]])
        expected = torch.cat([chances[likely], chances[~likely].sum()[None]]) * 4000
        observed, expected = observed[expected > 0], expected[expected > 0]
        assert float(((observed - expected) ** 2 / expected).sum()) < chi2.ppf(0.999, len(observed) - 1)


def test_scores_log_probabilities_and_options_are_the_transformers_engine(engine, ours, policy, reward):
    asked, given = ["w1 w2", "w3"], [Sample("w4 w5", 2, True), Sample("w6", 1, False)]
    assert isinstance(engine, FewShotEngine)
    for call in (
        lambda one: one.logprobs(policy, asked, given),
        lambda one: one.score(reward, asked, given),
        lambda one: one.options(policy, asked, [["w1", "w2 w3"]] * 2),
        lambda one: one.choices(policy, asked, [[" w1", " w2"]] * 2),
        lambda one: one.sizes(policy, asked),
        lambda one: one.context_tokens(policy),
    ):
        assert call(engine) == call(ours)


@pytest.fixture(scope="module")
def reward(policy):
    from rlp_bench.trainers.modeling.checkpoints import RewardInfo, new_reward, save_model

    folder = policy.with_name("reward")
    save_model(*new_reward(policy, 5), folder)
    RewardInfo(eos=True, mean=0.0, std=1.0).write(folder)
    return folder


def test_best_of_n_gives_the_winner_of_its_own_draws(engine: Engine, policy, reward, prompts, tmp_path):
    spec = {"policy": str(policy), "reward": str(reward), "n": 4, "temperature": 1.0, "top_p": 1.0}
    (tmp_path / "best_of_n.json").write_text(json.dumps(spec))
    drawn = engine.sample(policy, prompts, DECODING, n=4, seed=2)
    scores = engine.score(reward, [p for p in prompts for _ in range(4)], [s for row in drawn for s in row])
    best = engine.sample(tmp_path, prompts, DECODING, seed=2)
    for row, (winner,) in enumerate(best):
        assert winner == drawn[row][max(range(4), key=lambda place: (scores[4 * row + place], -place))]


def test_a_constant_policy_is_asked_nothing(engine, policy, tmp_path):
    (tmp_path / "constant.json").write_text(json.dumps({"policy": str(policy), "text": "w1 w2"}))
    assert engine.sample(tmp_path, ["w5"], DECODING, n=2) == [[Sample("w1 w2", 2, True)] * 2]


@pytest.mark.parametrize(
    "more", [{}, {"tie_word_embeddings": True}, {"tie_word_embeddings": True, "head_dim": 16}]
)
def test_policies_take_turns_without_mixing(engine, ours, prompts, tmp_path, more):
    """Checkpoints of one shape share the engine: their weights are exchanged in it."""
    one, other = (make_llama(tmp_path / f"policy{seed}", seed=seed, ends=(1, 2), **more) for seed in (4, 9))
    expected = [ours.sample(folder, prompts, GREEDY) for folder in (one, other)]
    assert expected[0] != expected[1]
    assert engine.sample(one, prompts, GREEDY) == expected[0]
    held = engine._runner._llm
    assert engine.sample(other, prompts, GREEDY) == expected[1]
    assert engine.sample(one, prompts, GREEDY) == expected[0]
    make_llama(other, seed=10, ends=(1, 2), **more)
    changed = engine.sample(other, prompts, GREEDY)
    assert changed == ours.sample(other, prompts, GREEDY) != expected[1], (
        "a checkpoint that changes in its place"
    )
    assert engine._runner._llm is held


def test_threads_stay_settable(engine, policy):
    import torch

    engine.sample(policy, ["w1"], DECODING)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("decoding", "expected"),
    [
        (Decoding(temperature=0.001), r"temperature 0.001: vLLM raises it to .01"),
        (Decoding(top_p=0.0), r"top_p 0; expected more than 0"),
        (Decoding(max_response_tokens=200), r"the model's context is 128 tokens"),
        (Decoding(max_response_tokens=126), r"more than the 2"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(engine, policy, decoding, expected):
    with pytest.raises(BenchError, match=expected) as raised:
        engine.sample(policy, ["w1 w2 w3"], decoding)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_that_is_none_is_one_line(engine, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        engine.sample(tmp_path / "nothing", ["w1"], DECODING)


def test_a_context_that_is_too_small_is_one_line(policy):
    small = registry.load("engine", "vllm")(device="cpu", max_model_len=16)
    with pytest.raises(DataError, match="23 tokens of prompt and response; expected at most 16"):
        small.sample(policy, ["w1 w2 w3"], DECODING)
