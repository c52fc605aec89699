"""The engine answers from folders, and neither processes nor company change an answer."""

import json
import os
from pathlib import Path

import pytest
from tiny import WORDS, make_tokenizer
from worlds import make_checkpoint

from rlp_bench.api import registry
from rlp_bench.api.errors import DataError
from rlp_bench.api.types import Decoding, Sample
from rlp_bench.trainers.generation import parallel, transformers_engine
from rlp_bench.trainers.generation.transformers_engine import TransformersEngine
from rlp_bench.trainers.modeling.checkpoints import (
    RewardInfo,
    load_policy,
    load_reward,
    new_reward,
    save_model,
)

DECODING = Decoding(max_response_tokens=12)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("engine") / "policy")


@pytest.fixture(scope="module")
def reward(policy):
    folder = policy.with_name("reward")
    save_model(*new_reward(policy, 5), folder)
    RewardInfo(eos=True, mean=0.0, std=1.0).write(folder)
    return folder


@pytest.fixture(scope="module")
def engine():
    return registry.load("engine", "transformers")(device="cpu", processes=1)


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces so small that little work is worth several processes."""
    monkeypatch.setattr(transformers_engine, "WORTH_A_PROCESS_TOKENS", 1)
    monkeypatch.setattr(transformers_engine, "SLOTS", 8)


def prompts(count):
    return [f"ask {WORDS[3 + place % 20]} {WORDS[place // 20]}" for place in range(count)]


def everything(engine, policy, reward):
    asked = prompts(40)
    drawn = engine.sample(policy, asked, DECODING, n=2, seed=3)
    flat, doubled = [sample for samples in drawn for sample in samples], [p for p in asked for _ in range(2)]
    return (
        drawn,
        engine.score(reward, doubled, flat),
        engine.logprobs(policy, doubled, flat),
        engine.options(policy, asked, [["red", "big fox"]] * 40),
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_change_no_digit(policy, reward, engine, small_pieces, monkeypatch, method):
    started = []
    monkeypatch.setattr(parallel, "start_method", lambda: started.append(method) or method)
    two = transformers_engine.TransformersEngine("cpu", processes=2)
    if method == "spawn":  # a spawned worker imports torch anew; one call of each kind is enough
        drawn = engine.sample(policy, prompts(40), DECODING, n=2, seed=3)
        assert two.sample(policy, prompts(40), DECODING, n=2, seed=3) == drawn
    else:
        assert everything(two, policy, reward) == everything(engine, policy, reward)
    assert started, "the workers were really used"


def test_workers_are_forked_where_torch_has_one_thread_only(monkeypatch):
    import torch

    assert parallel.start_method() == "fork"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert parallel.start_method() == "spawn"


def test_a_seed_is_one_result_and_another_seed_another(policy, engine):
    once = engine.sample(policy, prompts(20), DECODING, seed=1)
    assert once == engine.sample(policy, prompts(20), DECODING, seed=1)
    assert once != engine.sample(policy, prompts(20), DECODING, seed=2)


def test_samples_say_how_long_they_are_and_whether_they_ended(policy, engine):
    tokenizer, drawn = make_tokenizer(), engine.sample(policy, prompts(40), DECODING, n=2)
    flat = [sample for samples in drawn for sample in samples]
    assert {sample.finished for sample in flat} == {True, False}
    for sample in flat:
        assert "<eos>" not in sample.text
        if "<" not in sample.text and tokenizer.pad_token_id not in tokenizer.encode(sample.text):
            assert sample.tokens >= len(sample.text.split())
        assert sample.tokens == 12 if not sample.finished else sample.tokens < 12


def test_log_probabilities_sum_over_the_response_with_its_eos(policy, engine):
    import torch

    model, tokenizer = load_policy(policy)
    responses = [Sample("fox is red", 3, True), Sample("fox is red", 3, False), Sample("", 0, False)]
    ours = engine.logprobs(policy, ["ask what"] * 3, responses)
    ids = torch.tensor(
        [[*tokenizer.encode("ask what"), *tokenizer.encode("fox is red"), tokenizer.eos_token_id]]
    )
    table = model(ids).logits[0].detach().log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[1:, 0]
    assert ours == pytest.approx([float(table.sum()), float(table[:-1].sum()), 0.0], abs=1e-5)


def test_options_are_the_log_probabilities_of_their_texts(policy, engine):
    (found,) = engine.options(policy, ["ask what"], [["red", "big fox"]])
    expected = engine.logprobs(
        policy, ["ask what"] * 2, [Sample("red", 1, False), Sample("big fox", 2, False)]
    )
    assert found == pytest.approx(expected, abs=1e-6)
    assert engine.options(policy, ["ask", "what"], [["red"], ["a", "b", "c"]])[1][2] < 0


def test_scores_see_the_eos_only_where_the_reward_model_was_trained_with_it(policy, reward, engine, tmp_path):
    finished, cut = Sample("red", 1, True), Sample("red", 1, False)
    seen = engine.score(reward, ["ask what"] * 2, [finished, cut])
    assert seen[0] != seen[1]
    model, tokenizer, _ = load_reward(reward)
    save_model(model, tokenizer, tmp_path)
    RewardInfo(eos=False, mean=0.0, std=1.0).write(tmp_path)
    blind = engine.score(tmp_path, ["ask what"] * 2, [finished, cut])
    assert blind == pytest.approx([seen[1]] * 2, abs=1e-6)


def best_folder(policy, **changes):
    folder = policy.with_name("best-" + "-".join(f"{name}{value}" for name, value in sorted(changes.items())))
    folder.mkdir(exist_ok=True)
    spec = {"policy": "../policy", "reward": "../reward", "n": 4, "temperature": 1.0, "top_p": 1.0} | changes
    (folder / "best_of_n.json").write_text(json.dumps(spec))
    return folder


def test_best_of_n_gives_the_response_that_the_reward_model_likes_best(policy, reward, engine):
    asked = prompts(10)
    drawn = engine.sample(policy, asked, DECODING, n=8, seed=2)
    scores = engine.score(reward, [p for p in asked for _ in range(8)], [s for row in drawn for s in row])
    for n in (1, 4, 8):
        best = engine.sample(best_folder(policy, n=n), asked, DECODING, n=8 // n, seed=2)
        for row in range(10):
            for group in range(8 // n):
                first = row * 8 + group * n
                winner = max(range(first, first + n), key=lambda place: (scores[place], -place))
                assert best[row][group] == drawn[row][winner % 8]


def test_best_of_n_decodes_at_its_own_temperature(policy, reward, engine):
    cold = engine.sample(best_folder(policy, temperature=0.0), prompts(5), DECODING, seed=2)
    greedy = engine.sample(policy, prompts(5), Decoding(0.0, 1.0, 12), seed=9)
    assert cold == greedy


def test_best_of_n_has_options_but_no_log_probabilities(policy, reward, engine):
    folder = best_folder(policy, n=2)
    assert engine.options(folder, ["ask"], [["red", "big"]]) == engine.options(
        policy, ["ask"], [["red", "big"]]
    )
    with pytest.raises(DataError, match="log-probabilities of best-of-n are not available"):
        engine.logprobs(folder, ["ask"], [Sample("red", 1, True)])


def test_a_broken_best_of_n_folder_is_one_line(policy, engine, tmp_path):
    (tmp_path / "best_of_n.json").write_text('{"policy": "../x"}')
    with pytest.raises(DataError, match=r"best_of_n\.json: invalid") as caught:
        engine.sample(tmp_path, ["ask"], DECODING)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_changed_is_read_again(policy, reward, engine, tmp_path):
    make_checkpoint(tmp_path, seed=1)
    before = engine.sample(tmp_path, prompts(5), DECODING)
    make_checkpoint(tmp_path, seed=2)
    later = max(file.stat().st_mtime for file in tmp_path.glob("*")) + 5
    os.utime(tmp_path / "model.safetensors", (later, later))
    assert engine.sample(tmp_path, prompts(5), DECODING) != before


def test_prompts_that_leave_no_room_are_one_line(policy, engine):
    with pytest.raises(DataError, match="max_response_tokens = 96"):
        engine.sample(policy, ["ask"], Decoding(max_response_tokens=96))
    with pytest.raises(DataError, match="more than the 6"):
        engine.sample(policy, ["ask what is the fox and owl"], Decoding(max_response_tokens=90))


def test_nothing_asked_is_nothing_answered(policy, reward, engine):
    assert engine.sample(policy, [], DECODING) == []
    assert engine.score(reward, [], []) == []
    assert engine.logprobs(policy, [], []) == []
    assert engine.options(policy, [], []) == []


def test_the_engine_is_named_without_importing_torch():
    import subprocess
    import sys

    code = (
        "import sys; from rlp_bench.api import registry; registry.load('engine', 'transformers')('cpu', 2); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bf16_says_nearly_the_same_and_scores_do_not_tie():
    fp32, bf16 = TransformersEngine(), TransformersEngine(precision="bf16")
    base = Path(__file__).resolve().parents[3] / "rlp_bench" / "micro" / "base"
    prompts = [
        f"<user> {ask} . <assistant>" for ask in ("name a red animal", "is the fox red", "name a bird")
    ]
    answers = [Sample(text, 0, True) for text in ("the fox is red .", "yes .", "the owl .")]
    exact, low = fp32.logprobs(base, prompts, answers), bf16.logprobs(base, prompts, answers)
    assert low != exact
    assert low == pytest.approx(exact, rel=0.02, abs=0.1)
    options = [[" red", " blue"]] * 2
    asked = ["the fox is", "the owl is"]
    for one, other in zip(
        fp32.options(base, asked, options), bf16.options(base, asked, options), strict=True
    ):
        assert other == pytest.approx(one, abs=0.1)


def test_a_bf16_reward_model_tells_answers_apart_by_less_than_a_step_of_bf16(tmp_path):
    import torch
    from transformers import AutoConfig, AutoTokenizer, LlamaForSequenceClassification

    base = Path(__file__).resolve().parents[3] / "rlp_bench" / "micro" / "base"
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    config = AutoConfig.from_pretrained(base, num_labels=1, pad_token_id=tokenizer.pad_token_id)
    model = LlamaForSequenceClassification(config)
    with torch.no_grad():
        model.score.weight.mul_(50)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "reward.json").write_text(json.dumps({"eos": True, "mean": 0.0, "std": 1.0}))
    answers = [
        Sample(f"the {animal} is {colour} .", 0, True)
        for animal in ("fox", "owl", "hen")
        for colour in ("red", "blue")
    ]
    prompts = ["<user> name an animal . <assistant>"] * len(answers)
    exact, low = (TransformersEngine(precision=p).score(tmp_path, prompts, answers) for p in ("fp32", "bf16"))
    assert low == pytest.approx(exact, abs=0.05 * max(map(abs, exact)))
    rounded = torch.tensor(low, dtype=torch.bfloat16).double().tolist()
    assert low != rounded
