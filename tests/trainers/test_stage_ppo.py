"""PPO: identities of one rollout, presets, what it learns, resuming."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import PROMPTING, file_bytes

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import read_jsonl, write_json
from rlp_bench.api.types import Decoding
from rlp_bench.trainers.equations.kl_estimators import ESTIMATORS
from rlp_bench.trainers.generation.rollout import rollout
from rlp_bench.trainers.modeling.checkpoints import RewardInfo, load_policy
from rlp_bench.trainers.ppo.config import PRESETS
from rlp_bench.trainers.ppo.experience import calibrated_scores
from rlp_bench.trainers.ppo.models import load_models
from rlp_bench.trainers.ppo.trainer import PPO
from rlp_bench.trainers.ppo.update import backward, learn, observe_rollout
from rlp_bench.trainers.reward.trainer import RewardModel
from rlp_bench.trainers.training.optimizer import Optimizer


def stage(**settings):
    defaults = {
        "rollouts": 6,
        "rollout_batch": 16,
        "minibatch": 8,
        "learning_rate": 3e-3,
        "warmup": 0.0,
        "schedule": "constant",
    }
    return PPO(**(defaults | settings))


@pytest.fixture
def reward(policy, preferences, train):
    settings = RewardModel(batch=8, learning_rate=1e-2, warmup=0.0, heldout=0.2, epochs=4)
    return train(settings, "reward", init=policy, preferences=preferences)


@pytest.fixture
def models(policy, reward):
    return load_models(policy.path, reward.path, "cpu")


def observed(models, prompts, settings, seed=0, disturb=0.0, beta=0.3):
    """One rollout; `disturb` moves the policy away from its reference first."""
    if disturb:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in models.policy.parameters():
                parameter += disturb * torch.randn(parameter.shape, generator=generator)
    rows = [models.tokenizer.encode(PROMPTING.render(r["instruction"])) for r in prompts.rows()]
    limit = PROMPTING.max_response_tokens
    sampled = rollout(models.policy, models.tokenizer, rows, Decoding(1.0, 1.0, limit), seed)
    return observe_rollout(sampled, models, settings, beta, limit, "cpu")


@pytest.mark.parametrize("preset", ["standard", "alpacafarm"])
def test_rewards_of_a_response_add_up_to_its_score_minus_its_kl(preset, models, prompts):
    """Σ_t r_t + β Σ_t KL_t = score, and the score lies on the last real token."""
    batch = observed(models, prompts, stage(preset=preset), disturb=0.05)
    seen, flags = batch.seen, PRESETS[preset]
    kl = torch.where(seen.mask, ESTIMATORS[flags.kl_estimator](seen.logprobs, seen.ref_logprobs), 0.0)
    assert kl.abs().sum() > 0.1
    paid = batch.targets.rewards.sum(1) + 0.3 * kl.sum(1)
    assert torch.allclose(paid, batch.scores, atol=1e-5, rtol=0)  # scores near 10, steps of 1e-6 in float32
    assert batch.targets.rewards[~seen.mask].abs().sum() == 0
    scored = batch.targets.rewards + 0.3 * kl
    for row, length in enumerate(seen.mask.sum(1).tolist()):
        assert scored[row].abs().argmax() == length - 1
    assert len(set(seen.mask.sum(1).tolist())) > 1


def test_alpacafarm_counts_every_slot_and_standard_the_real_ones(models, prompts):
    standard, alpacafarm = (observed(models, prompts, stage(preset=p)) for p in ("standard", "alpacafarm"))
    assert alpacafarm.seen.mask.shape[1] == PROMPTING.max_response_tokens
    assert standard.seen.mask.shape[1] == standard.seen.mask.sum(1).max()
    assert torch.equal(alpacafarm.seen.scores, standard.seen.scores)


def test_each_flag_can_be_set_alone():
    flags = stage(preset="alpacafarm", kl_estimator="k1", whiten_advantages=False).flags
    assert flags == replace(PRESETS["alpacafarm"], kl_estimator="k1", whiten_advantages=False)
    assert stage().flags == PRESETS["standard"]


@pytest.mark.parametrize(
    "flag",
    [
        {"kl_estimator": "k3"},
        {"kl_estimator": "clamp"},
        {"whiten_rewards": "scale"},
        {"whiten_rewards": "keep_mean"},
        {"whiten_rewards": "keep_mean", "whiten_scope": "all_slots"},
        {"whiten_advantages": False},
        {"gae_lambda": 0.5},
        {"loss_mean": "all_slots"},
        {"missing_eos": "none"},
        {"missing_eos": "penalty"},
        {"calibrate": "standardise"},
        {"calibrate": "none"},
    ],
)
def test_each_flag_changes_the_gradient(flag, policy, reward, prompts):
    """A flag that is read nowhere would pass every other test."""
    found = []
    for settings in (stage(), stage(**flag)):
        models = load_models(policy.path, reward.path, "cpu")
        batch = observed(models, prompts, settings, disturb=0.05)
        backward(batch, list(range(8)), models, settings)
        trained = [*models.policy.parameters(), *models.value.parameters()]
        found.append(torch.cat([p.grad.flatten() for p in trained]))
    assert not torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-9)


def test_the_first_minibatch_has_ratio_one(models, prompts):
    """Log-probabilities are recomputed by the model that learns."""
    settings = stage()
    batch = observed(models, prompts, settings, disturb=0.05)
    row = backward(batch, list(range(8)), models, settings)
    assert row["ratio_error"] < 1e-6
    assert row["approx_kl"] < 1e-10
    assert row["clipfrac"] == 0
    sampler = batch.rollouts.logprobs[batch.rollouts.response_mask]
    assert torch.allclose(sampler, batch.seen.logprobs[batch.seen.mask], atol=1e-4)


def test_log_probabilities_of_another_policy_are_refused(models, prompts):
    """Stale weights, another temperature, truncated sampling: the first ratios are not 1."""
    settings = stage()
    batch = observed(models, prompts, settings)
    batch.seen.logprobs += 0.1
    optimizer = Optimizer(models.policy.parameters(), total_steps=1, peak=1e-3, warmup=0, schedule="constant")
    with pytest.raises(BenchError, match="before the first update"):
        learn(batch, models, optimizer, settings, 0, 0)


def test_gradient_does_not_depend_on_the_micro_batches(policy, reward, prompts):
    found = []
    for microbatch in (64, 3):
        models = load_models(policy.path, reward.path, "cpu")
        batch = observed(models, prompts, stage(microbatch=microbatch))
        backward(batch, list(range(16)), models, stage(microbatch=microbatch))
        found.append(torch.cat([p.grad.flatten() for p in models.policy.parameters()]))
    assert (found[0] - found[1]).norm() / found[0].norm() < 1e-4


def test_the_value_net_learns_with_its_weight_and_the_policy_without_it(policy, reward, prompts):
    """Twice the weight is twice the gradient of the value net, and no other gradient of the policy."""
    found = []
    for weight in (0.1, 0.2):
        models = load_models(policy.path, reward.path, "cpu")
        backward(observed(models, prompts, stage()), list(range(8)), models, stage(value_weight=weight))
        trained = ([*models.policy.parameters()], [*models.value.parameters()])
        found.append([torch.cat([p.grad.flatten() for p in part]) for part in trained])
    (policy_once, value_once), (policy_twice, value_twice) = found
    assert value_once.norm() > 0
    assert torch.allclose(value_twice, 2 * value_once, rtol=1e-4, atol=1e-8)
    assert torch.equal(policy_once, policy_twice)


def test_the_value_net_starts_at_zero_on_the_reward_models_backbone(models, prompts):
    assert observed(models, prompts, stage()).seen.values.abs().max() == 0
    for (name, ours), theirs in zip(models.value.named_parameters(), models.reward.parameters(), strict=True):
        assert torch.equal(ours, theirs) == ("score" not in name)


def test_value_t_is_read_one_token_before(models, prompts):
    """It must not see the token whose worth it predicts."""
    from rlp_bench.trainers.ppo.experience import values_before

    with torch.no_grad():
        models.value.score.weight.fill_(1.0)
        ids = torch.tensor([[3, 4, 5, 9, 10, 1]])
        other = torch.tensor([[3, 4, 5, 11, 10, 1]])
        mask = torch.ones_like(ids, dtype=torch.bool)
        first, second = values_before(models.value, ids, mask), values_before(models.value, other, mask)
    assert torch.equal(first[:, :4], second[:, :4])
    assert (first[:, 4:] != second[:, 4:]).all()


def test_unfinished_responses_get_what_the_setting_says():
    """3 = 1 standard deviation above the mean of 1; by hand for every policy."""
    info = RewardInfo(eos=True, mean=1.0, std=2.0)
    scores, finished = torch.tensor([3.0, 3.0]), torch.tensor([True, False])

    def found(**flags):
        return calibrated_scores(scores, finished, info, replace(PRESETS["standard"], **flags), -4.0).tolist()

    assert found(missing_eos="none", calibrate="none") == [3.0, 3.0]
    assert found(missing_eos="none", calibrate="center") == [2.0, 2.0]
    assert found(missing_eos="none", calibrate="standardise") == [1.0, 1.0]
    assert found(missing_eos="replace", calibrate="standardise") == [1.0, -4.0]
    assert found(missing_eos="replace", calibrate="center") == [2.0, -8.0]
    assert found(missing_eos="penalty", calibrate="center") == [2.0, -6.0]
    assert found(missing_eos="replace", calibrate="none") == [3.0, -7.0]


def test_a_constant_added_to_the_reward_model_changes_nothing(models, prompts):
    """Bradley-Terry leaves the offset free; the calibrated reward does not depend on it."""
    first = observed(models, prompts, stage()).scores
    models.info = replace(models.info, mean=models.info.mean + 5)
    original = models.reward.score.forward
    models.reward.score.forward = lambda hidden: original(hidden) + 5
    assert torch.allclose(observed(models, prompts, stage()).scores, first, atol=1e-5)


def test_logged_kl_agrees_with_the_full_distribution(models, prompts):
    """The estimator k1 on samples against the exact KL of every next-token distribution on the same states."""
    settings = stage()
    batch = [observed(models, prompts, settings, seed=s, disturb=0.1 * (s == 0)) for s in range(20)]
    sampled, exact = [], []
    for one in batch:
        seen, rolled = one.seen, one.rollouts
        sampled += torch.where(seen.mask, seen.logprobs - seen.ref_logprobs, 0.0).sum(1).tolist()
        with torch.no_grad():
            logits = [
                m(input_ids=rolled.ids).logits[:, :-1].log_softmax(-1) for m in (models.policy, models.ref)
            ]
        full = (logits[0].exp() * (logits[0] - logits[1])).sum(-1)
        exact += (full * rolled.response_mask[:, 1:]).sum(1).tolist()
    difference = torch.tensor(sampled) - torch.tensor(exact)
    error = difference.std() / len(difference) ** 0.5
    assert difference.mean().abs() < 3 * error
    assert torch.tensor(exact).mean() > 10 * error


def test_truncated_sampling_is_refused():
    for settings in ({"top_p": 0.9}, {"top_k": 50}):
        with pytest.raises(BenchError, match="top_p"):
            PPO(**settings)


def test_snapshots_beyond_the_end_are_refused():
    with pytest.raises(BenchError, match=r"snapshots \[9\]"):
        PPO(rollouts=8, snapshots=(4, 9))


def test_the_policy_learns_what_is_rewarded(policy, reward, prompts, train):
    """ "good" beats "bad" in the reward model's data: the policy comes to say what scores high."""
    settings = stage(
        rollouts=30, rollout_batch=32, minibatch=16, learning_rate=5e-3, beta=0.01, snapshots=(1, 30)
    )
    out = train(settings, "learnt", init=policy, reward=reward, prompts=prompts)
    log = list(read_jsonl(out.path / "log.jsonl"))
    assert len(log) == 30
    assert log[-1]["score_mean"] > log[0]["score_mean"] + log[0]["score_std"]
    assert log[0]["kl_k1"] == pytest.approx(0, abs=1e-5)
    assert log[-1]["kl_k1"] > 0.1
    assert all(row["first_ratio_error"] < 1e-5 for row in log)
    for row in log:  # log PPL = entropy + KL per token, where all three are means over the sampled tokens
        assert math.log(row["ref_perplexity"]) == pytest.approx(
            row["entropy"] + row["kl_k1"] / row["length"], abs=1e-4
        )
    assert math.log(log[0]["ref_perplexity"]) == pytest.approx(log[0]["entropy"], abs=1e-5)
    assert all(row["roundtrip_mismatch"] == 0 for row in log)
    expected = {
        "kl_k3",
        "entropy",
        "clipfrac",
        "approx_kl",
        "length",
        "finish_rate",
        "score_unfinished",
        "grad_norm",
    }
    assert expected <= log[0].keys()
    kept, whole = (folder / "model.safetensors" for folder in (out.path / "snapshots/0030", out.path))
    assert kept.read_bytes() == whole.read_bytes()
    assert load_policy(out.path / "snapshots/0001")[0].training is False


@pytest.mark.parametrize("settings", [{}, {"preset": "alpacafarm"}, {"adaptive_kl_target": 0.5}])
def test_six_rollouts_equal_three_and_three_more_from_a_checkpoint(
    settings, policy, reward, prompts, context, tmp_path
):
    """Bit for bit: policy, snapshots, KL coefficient, log."""
    inputs = {"init": policy, "reward": reward, "prompts": prompts}
    chosen = stage(checkpoint_every=3, snapshots=(2, 5), **settings)

    def run(name, progress):
        (tmp_path / name).mkdir(exist_ok=True)
        given = replace(context, scratch=tmp_path / f"scratch-{name}", progress=progress)
        write_json(tmp_path / name / "metrics.json", chosen.train(inputs, tmp_path / name, given))

    def killed(done, total, note=""):
        if done == 4:
            raise KeyboardInterrupt

    run("whole", context.progress)
    with pytest.raises(KeyboardInterrupt):
        run("resumed", killed)
    run("resumed", context.progress)
    assert file_bytes(tmp_path / "resumed") == file_bytes(tmp_path / "whole")
    assert {f"snapshots/{c}/model.safetensors" for c in ("0002", "0005")} <= file_bytes(
        tmp_path / "whole"
    ).keys()


def test_adaptive_coefficient_is_used_and_logged(policy, reward, prompts, train):
    out = train(stage(adaptive_kl_target=0.5), "adaptive", init=policy, reward=reward, prompts=prompts)
    betas = [row["beta"] for row in read_jsonl(out.path / "log.jsonl")]
    assert betas[0] == 0.02
    assert betas[1] == pytest.approx(0.02 * 0.98)


def test_every_prompt_is_used_or_counted(policy, reward, artifact, prompts, train, context):
    rows = [*prompts.rows(), {"instruction": "what " * 9, "input": ""}]
    out = train(stage(rollouts=1), "ledger", init=policy, reward=reward, prompts=artifact("prompts", rows))
    assert (out.metrics["rows_in"], out.metrics["rows_used"], out.metrics["dropped_prompt_too_long"]) == (
        25,
        24,
        1,
    )
    assert context.meter["samples"] == 16
    assert context.meter["flops"] > 0


def test_no_prompt_that_fits_is_an_error(policy, reward, artifact, train):
    with pytest.raises(DataError, match="none of 1 prompts"):
        train(
            stage(),
            "none",
            init=policy,
            reward=reward,
            prompts=artifact("prompts", [{"instruction": "a " * 30}]),
        )


def test_a_reward_model_of_another_vocabulary_is_refused(policy, reward, tmp_path):
    import json
    import shutil

    other = shutil.copytree(reward.path, tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["fox"], vocabulary["owl"] = vocabulary["owl"], vocabulary["fox"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(DataError, match="another vocabulary"):
        load_models(policy.path, other, "cpu")
