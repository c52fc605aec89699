"""The PPO stage with vLLM's rollouts, on the embedded base: every rollout is of the weights that learn from it."""

from pathlib import Path

import pytest

LIMIT = 24


def run_ppo(folder, **training):
    import rlp_bench.micro
    from rlp_bench.api import registry
    from rlp_bench.api.files import read_jsonl, write_jsonl
    from rlp_bench.api.protocols import Context
    from rlp_bench.api.types import Artifact, Prompting, Training
    from rlp_bench.trainers.modeling.checkpoints import RewardInfo, load_policy, new_reward, save_model
    from rlp_bench.trainers.ppo.trainer import PPO

    class Meter:
        def count(self, **amounts):
            pass

    base = Path(rlp_bench.micro.__file__).parent / "base"
    for name in ("reward", "prompts", "out"):
        (folder / name).mkdir(parents=True)
    save_model(*new_reward(base, 5), folder / "reward")
    RewardInfo(eos=True, mean=0.0, std=1.0).write(folder / "reward")
    rows = registry.load("suite", "micro")().split("unlabeled", 48)
    write_jsonl(
        folder / "prompts" / "rows.jsonl", [{"instruction": r["instruction"], "input": ""} for r in rows]
    )
    context = Context(
        seed=0,
        device="cpu",
        prompting=Prompting(
            "<user> {instruction} <assistant>", max_prompt_tokens=32, max_response_tokens=LIMIT
        ),
        scratch=folder / "scratch",
        progress=lambda done, total, note="": None,
        meter=Meter(),
        engine=registry.load("engine", "transformers")(),
        training=Training(**training),
    )
    context.scratch.mkdir()
    stage = PPO(
        rollouts=2, rollout_batch=32, minibatch=16, learning_rate=1e-3, warmup=0.0, schedule="constant"
    )
    inputs = {
        "init": Artifact("policy", "p" * 64, base),
        "reward": Artifact("reward", "r" * 64, folder / "reward"),
        "prompts": Artifact("prompts", "q" * 64, folder / "prompts"),
    }
    stage.train(inputs, folder / "out", context)
    return (
        list(read_jsonl(folder / "out" / "log.jsonl")),
        load_policy(folder / "out")[0],
        load_policy(base)[0],
    )


def test_two_rollouts_are_on_policy_and_the_log_says_so(tmp_path):
    import torch

    log, policy, base = run_ppo(tmp_path, sampler="vllm")
    assert len(log) == 2
    for row in log:
        assert 0 < row["sampler_mismatch_mean"] <= row["sampler_mismatch_max"] < 1e-4
        assert row["first_ratio_error"] < 1e-4
        assert 0.5 < row["finish_rate"] <= 1
    moved = [not torch.equal(a, b) for a, b in zip(policy.parameters(), base.parameters(), strict=True)]
    assert all(moved)
    assert not list((tmp_path / "scratch").glob("vllm*")), "scratch space is given back"


def test_a_sampler_that_is_not_synchronised_ends_the_stage(tmp_path, monkeypatch):
    from rlp_bench.api.errors import BenchError
    from rlp_bench.trainers.generation.vllm_runner import VllmRunner
    from rlp_bench.trainers.generation.vllm_sampler import PolicySampler

    once = PolicySampler.sync
    monkeypatch.setattr(PolicySampler, "sync", lambda self, model: None if self._syncs else once(self, model))
    with pytest.raises(BenchError, match=r"sampler and learner differ by .* expected at most 0\.001"):
        run_ppo(tmp_path, sampler="vllm")
    for runner in list(VllmRunner._open):  # a process ends with its stage's error; this one goes on
        runner.close()


def test_rollouts_say_what_the_transformers_sampler_says_on_average(tmp_path):
    """Two samplers of one policy: the first rollout's length and entropy agree as 32 responses can."""
    (theirs, *_), _, _ = run_ppo(tmp_path / "vllm", sampler="vllm")
    (ours, *_), _, _ = run_ppo(tmp_path / "ours")
    assert "sampler_mismatch_mean" not in ours
    assert theirs["length"] == pytest.approx(ours["length"], rel=0.25)
    assert theirs["entropy"] == pytest.approx(ours["entropy"], rel=0.25)
    assert theirs["kl_k1"] == pytest.approx(0.0, abs=1e-4)
