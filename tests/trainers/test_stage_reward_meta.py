"""MetaRM: its identities, its first-order step, what it logs, its meta set, resuming."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import PROMPTING, file_bytes

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import read_jsonl
from rlp_bench.trainers.data.preference_pairs import split_pairs
from rlp_bench.trainers.data.tokenizer import load_tokenizer
from rlp_bench.trainers.equations.bradley_terry import bradley_terry_loss
from rlp_bench.trainers.equations.difference_objective import difference_objective
from rlp_bench.trainers.modeling.checkpoints import new_reward
from rlp_bench.trainers.modeling.pair_scoring import pair_scores, row_scores
from rlp_bench.trainers.reward.meta.loop import ahead, check_precision, meta_gradient
from rlp_bench.trainers.reward.meta.samples import drawn_responses, read_meta_set
from rlp_bench.trainers.reward.meta.trainer import MetaRewardModel
from rlp_bench.trainers.reward.trainer import RewardModel
from rlp_bench.trainers.training.distributed import ALONE

DEFAULTS = {"batch": 8, "learning_rate": 1e-2, "warmup": 0.0, "heldout": 0.2}


def stage(**settings):
    return MetaRewardModel(**(DEFAULTS | {"heldout_prompts": 0.2, "k": 3} | settings))


def response(text, finished=True):
    return {"text": text, "tokens": len(text.split()), "finished": finished}


@pytest.fixture
def samples(artifact):
    rows = [
        {
            "instruction": f"what is {x} {y}",
            "input": "",
            "responses": [response(f"{end} {y}") for end in ("good", "bad", "yes", "no", "yes")],
        }
        for x in ("a", "b", "c")
        for y in ("fox", "owl", "red", "big", "blue", "small")
    ]
    return artifact("samples", rows)


@pytest.fixture
def run(train, policy, preferences, samples):
    def one(name, **settings):
        return train(stage(**settings), name, init=policy, preferences=preferences, samples=samples)

    return one


@pytest.fixture
def objective(policy, preferences, samples, context):
    """objective(updates, **settings) -> (model, its meta gradient, a batch of pairs)."""

    def make(updates=3, **settings):
        model, tokenizer = new_reward(policy.path, 0)
        inputs = {"init": policy, "preferences": preferences, "samples": samples}
        made = meta_gradient(stage(**settings), model, tokenizer, inputs, updates, 0, context, ALONE)
        pairs, _, _ = split_pairs([preferences], tokenizer, PROMPTING, 0.2, True)
        return model, made, pairs[:8]

    return make


def log_of(artifact):
    return list(read_jsonl(artifact.path / "log.jsonl"))


def flat(model, what):
    return torch.cat([getattr(p, what).flatten() for p in model.parameters()]).clone()


def test_without_a_step_it_is_the_plain_stage_to_the_bit(run, train, policy, preferences):
    """Weights, calibration, losses, gradient norms."""
    plain = train(RewardModel(**DEFAULTS), "plain", init=policy, preferences=preferences)
    meta = run("zero", eta=0.0)
    assert [{name: row[name] for name in log_of(plain)[0]} for row in log_of(meta)] == log_of(plain)
    ours, theirs = file_bytes(meta.path), file_bytes(plain.path)
    assert {name for name in ours if ours[name] != theirs[name]} == {"log.jsonl", "metrics.json"}
    assert plain.metrics.items() <= meta.metrics.items()
    assert all(row["inner_step"] == 0 for row in log_of(meta))
    assert file_bytes(run("some", eta=0.1).path)["model.safetensors"] != theirs["model.safetensors"]


def test_the_gradient_is_that_of_the_loss_at_the_ascended_parameters_and_the_parameters_stay(objective):
    """Against autograd on a second model whose parameters are moved for good."""
    model, made, batch = objective(eta=0.3, max_grad_norm=1e9)
    before = flat(model, "data")
    row = made.backward(0, batch)
    assert torch.equal(flat(model, "data"), before)

    other, moved, _ = objective(eta=0.3, max_grad_norm=1e9)
    drawn = drawn_responses([moved.prompts[index] for index in moved.batches[0]], 3, 0, 0)
    value = difference_objective(row_scores(other, drawn, 0, 32).view(-1, 3)).mean()
    ascent = torch.autograd.grad(value, list(other.parameters()))
    with torch.no_grad():
        for parameter, step in zip(other.parameters(), ascent, strict=True):
            parameter.add_(step, alpha=0.3)
    loss = bradley_terry_loss(
        *pair_scores(other, [p.chosen for p in batch], [p.rejected for p in batch], 0, 16)
    ).mean()
    loss.backward()
    assert torch.allclose(flat(model, "grad"), flat(other, "grad"), atol=1e-7)
    assert row["loss"] == pytest.approx(loss.item(), abs=1e-6)
    uphill = torch.cat([step.flatten() for step in ascent])
    assert row["inner_grad_norm"] == pytest.approx(uphill.norm().item(), rel=1e-4)
    assert row["inner_step"] == pytest.approx((0.3 * uphill.norm() / before.norm()).item(), rel=1e-4)
    cosine = torch.nn.functional.cosine_similarity(uphill, flat(other, "grad"), dim=0)
    assert row["gradient_cosine"] == pytest.approx(cosine.item(), abs=1e-4)


def test_the_step_is_one_of_ascent(objective):
    """At θ' the policy's responses are told apart better than at θ."""
    model, made, batch = objective(eta=1.0, max_grad_norm=1e9)
    drawn = drawn_responses([made.prompts[index] for index in made.batches[0]], 3, 0, 0)

    def difference():
        with torch.no_grad():
            return difference_objective(row_scores(model, drawn, 0, 32).view(-1, 3)).mean().item()

    at_start = difference()
    seen = []
    made.processes = replace_backward(made, lambda: seen.append(difference()))
    made.backward(0, batch)
    assert seen[0] == pytest.approx(at_start, abs=1e-7)  # the gradient of J is taken at θ
    assert seen[1] > at_start + 1e-4  # that of the loss at θ'


def replace_backward(made, before):
    """The processes of a meta gradient, which call `before` before every backward pass."""

    class Watching:
        def __getattr__(self, name):
            return getattr(ALONE, name)

        def backward(self, loss):
            before()
            ALONE.backward(loss)

    return Watching()


def test_one_inner_step_an_update_whatever_the_micro_batches(run):
    """And the same result up to rounding."""
    whole, parts = run("whole", eta=0.1, microbatch=64), run("parts", eta=0.1, microbatch=2)
    for one, two in zip(log_of(whole), log_of(parts), strict=True):
        for name in ("loss", "difference", "inner_step", "grad_norm"):
            assert one[name] == pytest.approx(two[name], abs=1e-3)


def test_the_step_is_as_long_as_adams_by_default_and_no_longer_than_its_clipped_gradient_otherwise(objective):
    model, made, batch = objective(updates=4, schedule="constant")
    size, parameters = flat(model, "data").norm().item(), flat(model, "data").numel()
    assert made.backward(0, batch)["inner_step"] == pytest.approx(1e-2 * parameters**0.5 / size, rel=1e-4)
    model, made, batch = objective(eta=2.0, max_grad_norm=1e-3)
    assert made.backward(0, batch)["inner_step"] == pytest.approx(2e-3 / size, rel=1e-4)


def test_a_step_in_bf16_is_rounded_away_and_refused():
    parameter = torch.nn.Parameter(torch.full((64,), 0.5))
    step = torch.full((64,), 1.0)
    for dtype, moved in ((torch.float32, True), (torch.bfloat16, False)):
        low = torch.nn.Parameter(parameter.data.to(dtype))
        with ahead([low], [step.to(dtype)], 1e-4):
            assert bool((low != 0.5).all()) == moved
        assert bool((low == 0.5).all())
    check_precision([parameter])
    with pytest.raises(BenchError, match=r"trained parameters in torch.bfloat16; expected float32"):
        check_precision([parameter, torch.nn.Parameter(parameter.data.bfloat16())])


def test_the_parameters_come_back_exactly_also_after_an_error():
    """Subtracting the step again would leave rounding errors."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(1000))
    before, step = parameter.detach().clone(), torch.randn(1000)
    with pytest.raises(RuntimeError), ahead([parameter], [step], 0.1):
        raise RuntimeError
    assert torch.equal(parameter, before)
    assert not torch.equal((before + 0.1 * step) - 0.1 * step, before)


def test_what_must_be_watched_is_in_the_log_and_the_metrics(run):
    found = run("logged")
    for row in log_of(found):
        assert 0 <= row["difference"] <= 1
        assert -1 <= row["gradient_cosine"] <= 1
        assert row["inner_step"] > 0
        assert row["inner_grad_norm"] > 0
        assert math.isfinite(row["eta"])
    names = {"train_difference", "train_inner_step", "train_gradient_cosine", "heldout_difference"}
    assert names | {"within_prompt_std", "samples_rows_used"} <= found.metrics.keys()


def test_six_updates_equal_three_and_three_more_from_a_checkpoint(
    policy, preferences, samples, context, tmp_path
):
    inputs = {"init": policy, "preferences": preferences, "samples": samples}

    def go(name, progress):
        (tmp_path / name).mkdir(exist_ok=True)
        given = replace(context, scratch=tmp_path / f"scratch-{name}", progress=progress)
        return stage(checkpoint_every=3, batch=9, eta=0.1).train(inputs, tmp_path / name, given)

    def killed(done, total, note=""):
        assert total == 6
        if done == 5:
            raise KeyboardInterrupt

    whole = go("whole", context.progress)
    with pytest.raises(KeyboardInterrupt):
        go("resumed", killed)
    assert go("resumed", context.progress) == whole
    assert file_bytes(tmp_path / "resumed") == file_bytes(tmp_path / "whole")


def test_responses_of_a_prompt_are_different_ones_drawn_anew_in_every_update(policy, samples):
    tokenizer = load_tokenizer(policy.path)
    prompts, _, _ = read_meta_set(samples, tokenizer, PROMPTING, True, 3, 0.2)
    draws = [drawn_responses(prompts, 3, 0, step) for step in range(20)]
    for drawn in draws:
        for place, responses in enumerate(prompts):
            mine = drawn[3 * place : 3 * place + 3]
            assert all(mine.count(row) <= responses.count(row) for row in mine)
    assert len({repr(drawn) for drawn in draws}) == 20


def test_prompts_that_cannot_be_used_are_counted(policy, samples, artifact):
    odd = [
        {"instruction": "f", "input": "", "responses": [response("fox"), response("owl"), response(" ")]},
        {"instruction": "g", "input": "", "responses": [response("fox")] * 3},
        {"instruction": "what " * 9, "input": "", "responses": [response("fox")] * 3},
        samples.rows()[0],
        {"instruction": "e", "input": "", "responses": [response("a " * 9), response("b"), response("c")]},
    ]
    given = artifact("samples", samples.rows() + odd)
    train, held, account = read_meta_set(given, load_tokenizer(policy.path), PROMPTING, True, 3, 0.2)
    assert account.drops == {
        "too_few_responses": 2, "all_responses_equal": 1, "prompt_too_long": 1, "repeated_prompt": 1,
    }  # fmt: skip
    account.close(len(train) + len(held))


def test_a_meta_set_of_one_response_a_prompt_is_one_line(train, policy, preferences, artifact, samples):
    single = [row | {"responses": row["responses"][:1]} for row in samples.rows()]
    with pytest.raises(DataError, match=r"0 of 18 prompts .* have 3 usable responses") as caught:
        train(stage(), "one", init=policy, preferences=preferences, samples=artifact("samples", single))
    assert "\n" not in str(caught.value)
    with pytest.raises(BenchError, match="k is 1; expected at least 2"):
        stage(k=1)
