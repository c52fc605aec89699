"""The reward model of RLP-UML: its identities, what it measures, its views, resuming."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import PROMPTING, file_bytes, preference

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import read_jsonl
from rlp_bench.trainers.data.tokenizer import load_tokenizer
from rlp_bench.trainers.modeling.checkpoints import load_policy, new_reward
from rlp_bench.trainers.reward.multi_view.loop import policy_views
from rlp_bench.trainers.reward.multi_view.trainer import PolicyRewardModel
from rlp_bench.trainers.reward.multi_view.views import distinct_batches, drawn_rows, read_views
from rlp_bench.trainers.reward.trainer import RewardModel
from rlp_bench.trainers.training.distributed import ALONE

DEFAULTS = {"batch": 8, "learning_rate": 1e-2, "warmup": 0.0, "heldout": 0.2, "epochs": 1, "redraw": 1}
HEADS = {"hidden": 16, "z_dim": 4, "prototypes": 6, "head_learning_rate": 1e-2, "ratio_every": 2}


def stage(**settings):
    return PolicyRewardModel(**(DEFAULTS | HEADS | settings))


def response(text, finished=True):
    return {"text": text, "tokens": len(text.split()), "finished": finished}


@pytest.fixture
def samples(artifact):
    """What two responses to one prompt share is the word they end with."""
    rows = [
        {
            "instruction": f"what is {x} {y}",
            "input": "",
            "responses": [response(f"{end} {y}") for end in ("good", "bad", "yes", "no", "yes")],
        }
        for x in ("a", "b", "c")
        for y in ("fox", "owl", "red", "big", "blue", "small", "is", "the", "and", "d", "e", "f")
    ]
    return artifact("samples", rows)


@pytest.fixture
def run(train, policy, preferences, samples):
    """run(name, **settings) -> the artifact of a stage on the same inputs."""

    def one(name, **settings):
        return train(stage(**settings), name, init=policy, preferences=preferences, samples=samples)

    return one


def log_of(artifact):
    return list(read_jsonl(artifact.path / "log.jsonl"))


@pytest.mark.parametrize("objective", ["mib", "cl"])
def test_without_weight_it_is_a_plain_reward_model_of_the_same_draw_to_the_bit(
    objective, run, train, policy, preferences
):
    """Weights, calibration, losses, gradient norms."""
    plain = train(RewardModel(**DEFAULTS), "plain", init=policy, preferences=preferences)
    uml = run("uml", weight=0.0, objective=objective)
    assert len(log_of(plain)) >= 3
    assert [{name: row[name] for name in log_of(plain)[0]} for row in log_of(uml)] == log_of(plain)
    ours, theirs = file_bytes(uml.path), file_bytes(plain.path)
    assert ours.keys() == theirs.keys()  # heads are not kept
    changed = {name for name in ours if ours[name] != theirs[name]}
    assert changed == {"log.jsonl", "metrics.json"}
    assert plain.metrics.items() <= uml.metrics.items()


def test_mvi_is_the_bottleneck_without_skl_to_the_bit(run):
    """And neither is the bottleneck with it."""
    mvi = file_bytes(run("mvi", objective="mvi").path)
    assert mvi == file_bytes(run("mib0", objective="mib", skl_weight=0.0).path)
    assert mvi["model.safetensors"] != file_bytes(run("mib1").path)["model.safetensors"]


def test_every_objective_changes_the_backbone_in_a_way_of_its_own(run):
    made = [run(each, objective=each) for each in ("mib", "infomax", "mvi", "cl")]
    assert len({file_bytes(one.path)["model.safetensors"] for one in made}) == 4
    for one in made:
        assert all(math.isfinite(value) for value in one.metrics.values())
        assert one.metrics["gradient_ratio"] > 0.001  # and that it reaches the backbone at all


@pytest.mark.parametrize(("objective", "rate", "at_least"), [("mvi", 3e-2, 0.1), ("infomax", 1e-2, 1.0)])
def test_information_is_found_on_prompts_never_trained_on(objective, rate, at_least, run):
    """And none between responses to different prompts."""
    wide = {"batch": 32, "hidden": 32, "z_dim": 8, "head_learning_rate": rate}
    found = run("long", objective=objective, epochs=60, weight=2.0, **wide)
    metrics = found.metrics
    assert metrics["heldout_prompts"] == 8
    assert metrics["heldout_mi_nats"] > at_least
    assert metrics["heldout_mi_infonce_nats"] > at_least
    assert metrics["heldout_mi_shuffled_nats"] < 0.1
    assert metrics["heldout_mu_std"] > metrics["heldout_mean_sigma"]  # InfoMax may still lose all its noise
    assert metrics["heldout_accuracy"] == 1.0  # the pairs are learnt beside it
    log = log_of(found)
    assert log[-1]["jsd"] > log[0]["jsd"] + at_least
    assert log[0]["jsd"] == pytest.approx(-2 * math.log(2), abs=0.05)


def test_an_overweight_bottleneck_collapses_and_says_so(run):
    metrics = run("heavy", skl_weight=100.0, epochs=12, weight=5.0).metrics
    assert metrics["collapsed"] == 1
    assert metrics["train_mu_std"] < 0.05 * metrics["train_mean_sigma"]
    assert metrics["heldout_mi_nats"] < 0.05


@pytest.mark.parametrize("objective", ["mib", "infomax", "cl"])
def test_everything_that_must_be_watched_is_in_the_log_and_the_metrics(objective, run):
    found = run("logged", objective=objective)
    both = {"uml_loss", "mi_infonce_nats", "mi_shuffled_nats"}
    both |= (
        {"feature_spread", "prototypes_used"}
        if objective == "cl"
        else {"jsd", "mi_nats", "skl", "mean_sigma", "mu_std"}
    )
    for row in log_of(found):
        assert both | {"collapsed", "loss", "grad_norm"} <= row.keys()
        assert ("gradient_ratio" in row) == (row["step"] % 2 == 0)
    named = {f"{part}_{name}" for name in both for part in ("train", "heldout")}
    assert (
        named | {"collapsed", "gradient_ratio", "within_prompt_std", "between_prompt_std"}
        <= found.metrics.keys()
    )


def test_the_ratio_of_gradients_grows_with_the_weight(run):
    """At the first update both start from the same place: twice λ is twice the ratio."""
    one, two = (log_of(run(f"weight-{weight}", weight=weight))[0]["gradient_ratio"] for weight in (0.5, 1.0))
    assert two == pytest.approx(2 * one, rel=1e-3)


def test_reward_spread_is_that_of_the_held_out_samples(run, samples, context):
    found = run("spread")
    policy_tokenizer = load_tokenizer(found.path)
    _, held, _ = read_views(samples, policy_tokenizer, PROMPTING, True, 0.05)
    rows = [row for row in samples.rows() if prompt_rows(row, policy_tokenizer) in [one.rows for one in held]]
    assert len(rows) == 8
    from rlp_bench.api.types import Sample

    stds = []
    for row in rows:
        answers = [Sample(**one) for one in row["responses"]]
        scores = context.engine.score(
            found.path, [PROMPTING.render(row["instruction"])] * len(answers), answers
        )
        stds.append(torch.tensor(scores, dtype=torch.float64).std(unbiased=False).item())
    assert found.metrics["within_prompt_std"] == pytest.approx(sum(stds) / len(stds), abs=1e-5)


def prompt_rows(row, tokenizer):
    prompt = tokenizer.encode(PROMPTING.render(row["instruction"]))
    return [prompt + tokenizer.encode(one["text"]) + [tokenizer.eos_token_id] for one in row["responses"]]


def test_the_weight_of_skl_grows_as_federici_let_it(run):
    log = log_of(run("fed", skl_schedule="fed", epochs=2))
    start = len(log) // 3
    weights = [row["skl_weight"] for row in log]
    assert weights[: start + 1] == [1e-3] * (start + 1)
    ratios = [after / before for before, after in zip(weights[start:], weights[start + 1 :], strict=False)]
    assert ratios == pytest.approx([1000 ** (1 / (len(log) - start))] * len(ratios))


@pytest.mark.parametrize("objective", ["mib", "infomax", "cl"])
def test_measuring_changes_nothing(objective, policy, preferences, samples, context):
    """The same numbers twice, the same heads and queue afterwards, and no gradient left behind."""
    model, tokenizer = new_reward(policy.path, 0)
    inputs = {"init": policy, "preferences": preferences, "samples": samples}
    auxiliary = policy_views(stage(objective=objective), model, tokenizer, inputs, 3, 0, context, ALONE)
    log = [auxiliary.backward(step) for step in range(3)]
    model.zero_grad(set_to_none=True)
    before = {name: value.clone() for name, value in auxiliary.module.named_parameters()}
    assert auxiliary.measure(log) == auxiliary.measure(log)
    assert all(torch.equal(value, before[name]) for name, value in auxiliary.module.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("objective", ["mib", "cl"])
def test_six_updates_equal_three_and_three_more_from_a_checkpoint(
    objective, policy, preferences, samples, context, tmp_path
):
    """Heads, moments, queue and views too, by way of what they do to the weights and the log."""
    inputs = {"init": policy, "preferences": preferences, "samples": samples}

    def go(name, progress):
        (tmp_path / name).mkdir(exist_ok=True)
        given = replace(context, scratch=tmp_path / f"scratch-{name}", progress=progress)
        settings = {"checkpoint_every": 3, "batch": 9, "objective": objective, "prototypes": 8}
        return stage(**settings).train(inputs, tmp_path / name, given)

    def killed(done, total, note=""):
        assert total == 6
        if done == 5:
            raise KeyboardInterrupt

    whole = go("whole", context.progress)
    with pytest.raises(KeyboardInterrupt):
        go("resumed", killed)
    assert go("resumed", context.progress) == whole
    assert file_bytes(tmp_path / "resumed") == file_bytes(tmp_path / "whole")


def test_synthetic_pairs_and_matched_steps_work_as_in_the_plain_stage(
    policy, preferences, samples, artifact, train
):
    """Eq. 1 whole."""
    more = artifact("preferences", [preference(f"what is f {w}", "f", "e", source="spg") for w in "abcdefgh"])
    given = {"init": policy, "preferences": [preferences, more], "samples": samples}
    both = train(stage(), "both", **given).metrics
    matched = train(stage(match_steps=True), "matched", **given).metrics
    assert both["updates"] > matched["updates"] == math.ceil(both["pairs_of_first"] / 8)


def test_a_batch_without_enough_negatives_is_refused_before_anything_runs():
    with pytest.raises(BenchError, match="batch is 7; in-batch negatives need at least 8 distinct prompts"):
        stage(batch=7)


def test_too_few_prompts_are_an_error(policy, preferences, artifact, samples, train):
    few = artifact("samples", samples.rows()[:15])
    with pytest.raises(DataError, match="15 prompts with two different responses among 15"):
        train(stage(), "few", init=policy, preferences=preferences, samples=few)
    with pytest.raises(DataError, match="4 of 36 prompts to train on"):
        train(stage(heldout_prompts=0.9), "held", init=policy, preferences=preferences, samples=samples)


def test_prompts_that_cannot_be_used_are_counted(policy, samples, artifact):
    _, tokenizer = load_policy(policy.path)
    rows = samples.rows()
    odd = [
        rows[0] | {"responses": [response("fox")]},  # the same prompt again
        {"instruction": "f", "input": "", "responses": [response("fox"), response("fox"), response(" ")]},
        {
            "instruction": "g",
            "input": "",
            "responses": [response("fox"), response("fox " * 9)],
        },  # one too long
        {"instruction": "what " * 9, "input": "", "responses": [response("fox"), response("owl")]},
        {
            "instruction": "e",
            "input": "",
            "responses": [response("fox"), response("fox", False)],
        },  # differ in EOS
    ]
    train, held, account = read_views(artifact("samples", rows + odd), tokenizer, PROMPTING, True, 0.05)
    assert account.drops == {"repeated_prompt": 1, "no_two_different_responses": 2, "prompt_too_long": 1}
    account.close(len(train) + len(held))
    assert len(train) + len(held) == len(rows) + 1


def test_held_out_prompts_are_by_content_and_never_trained_on(policy, samples, artifact):
    _, tokenizer = load_policy(policy.path)
    train, held, _ = read_views(samples, tokenizer, PROMPTING, True, 0.25)
    again = read_views(artifact("samples", samples.rows()[::-1]), tokenizer, PROMPTING, True, 0.25)[1]
    assert len(held) == 9
    assert sorted(one.rows for one in held) == sorted(one.rows for one in again)
    assert not [one for one in held if one in train]


def test_views_are_two_different_responses_drawn_anew_each_time(policy, samples):
    _, tokenizer = load_policy(policy.path)
    train, _, _ = read_views(samples, tokenizer, PROMPTING, True, 0.05)
    draws = [drawn_rows(train, 0, step) for step in range(200)]
    for first, second in draws:
        for prompt, one, other in zip(train, first, second, strict=True):
            assert one in prompt.rows
            assert other in prompt.rows
            assert one != other
    assert draws[0] != draws[1]
    assert draws[0] == drawn_rows(train, 0, 0)
    seen = {tuple(first[0]) for first, _ in draws}
    assert len(seen) == 4  # five responses, two alike
    share = sum(first[0] == train[0].rows[2] for first, _ in draws) / len(draws)
    assert share == pytest.approx(0.4, abs=0.1)  # "yes" twice: its frequency is kept


def test_prompts_of_a_batch_are_distinct_and_all_are_used():
    batches = distinct_batches(37, 8, 50, seed=0)
    assert len(batches) == 50
    assert all(len(set(batch)) == 8 for batch in batches)
    assert {index for batch in batches for index in batch} == set(range(37))
    assert batches != distinct_batches(37, 8, 50, seed=1)
    assert all(len(set(batch)) == 5 for batch in distinct_batches(5, 8, 3, seed=0))
