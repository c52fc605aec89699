"""Two processes that train together sample together, whether their weights are whole or in shards."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_two_processes_hand_over_whole_models_shards_and_dictionaries(policy, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = Path(__file__).with_name("two_processes.py")
    done = subprocess.run(
        [*command, str(script), str(policy), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads((tmp_path / f"found-{rank}.json").read_text()) for rank in range(2)]
    for one in found:
        assert (one["size"], one["total"], one["dtensor"]) == (2, 2.0, True)
        assert max(one["whole"], one["shards"], one["dict"]) < 1e-4
        assert one["stale"] > 1e-2
    assert found[0]["ids"] != found[1]["ids"]
    assert not (tmp_path / "vllm").exists()
    # each process has drawn what one alone would have drawn for its prompts
    from rlp_bench.nouns import Decoding
    from rlp_bench.trainers.generation.samplers import make_sampler
    from rlp_bench.trainers.models import load_policy

    model, tokenizer = load_policy(policy)
    rows = [tokenizer.encode(f"w{place} w{place + 1}") for place in range(16)]
    alone = make_sampler("vllm", model, tokenizer, tmp_path)
    whole = alone.rollout(rows, Decoding(max_response_tokens=8), 3)
    alone.close()
    parts = [row for one in found for row in one["ids"]]
    for row, part in zip(whole.ids.tolist(), parts, strict=True):
        shorter = min(len(row), len(part))
        assert row[:shorter] == part[:shorter]


def test_two_engines_live_beside_each_other_and_one_may_close(policy, prompts):
    from rlp_bench import registry
    from rlp_bench.nouns import Decoding

    one, two = (registry.load("engine", "vllm")(device="cpu") for _ in range(2))
    expected = one.sample(policy, prompts, Decoding(max_response_tokens=6))
    assert two.sample(policy, prompts, Decoding(max_response_tokens=6)) == expected
    one.close()
    assert two.sample(policy, prompts, Decoding(max_response_tokens=6)) == expected
    assert one.sample(policy, prompts, Decoding(max_response_tokens=6)) == expected, (
        "opens again when asked again"
    )
    two.close()
    one.close()
    import torch

    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("rollouts", [2])
def test_ppo_learns_from_vllms_rollouts_on_the_embedded_world(tmp_path, rollouts):
    """The steps of the PPO stage with vLLM's sampler: every rollout is of the weights that learn from it."""
    import torch

    import rlp_bench.micro
    from rlp_bench import registry
    from rlp_bench.nouns import Decoding
    from rlp_bench.trainers.experience import to_slots
    from rlp_bench.trainers.generation.samplers import bounded_mismatch, make_sampler, mismatch_limit
    from rlp_bench.trainers.models import RewardInfo, new_reward, save_model
    from rlp_bench.trainers.ppo_models import load_models
    from rlp_bench.trainers.ppo_update import learn, observe_rollout
    from rlp_bench.trainers.stages.ppo import PPO

    base = Path(rlp_bench.micro.__file__).parent / "base"
    save_model(*new_reward(base, 5), tmp_path / "reward")
    RewardInfo(eos=True, mean=0.0, std=1.0).write(tmp_path / "reward")
    models = load_models(base, tmp_path / "reward", "cpu")
    settings = PPO(rollouts=rollouts, rollout_batch=32, minibatch=16, learning_rate=1e-3, warmup=0.0)
    optimiser = settings._optimiser(models)
    asked = [row["instruction"] for row in registry.load("suite", "micro")().split("unlabeled", 32)]
    rows = [models.tokenizer.encode(f"<user> {text} <assistant>") for text in asked]
    sampler = make_sampler("vllm", models.policy, models.tokenizer, tmp_path)
    limit, before = mismatch_limit(sampler.dtype, "float32"), models.policy.state_dict()
    before = {name: tensor.clone() for name, tensor in before.items()}
    for step in range(rollouts):
        sampler.sync(models.policy)
        sampled = sampler.rollout(rows, Decoding(1.0, 1.0, 24), step)
        batch = observe_rollout(sampled, models, settings, 0.02, 24, "cpu")
        drawn = to_slots(batch.rollouts.logprobs, batch.rollouts.response_mask, batch.seen.mask)
        found = bounded_mismatch(drawn, batch.seen.logprobs, batch.seen.mask, limit, f"ppo: rollout {step}")
        assert found["sampler_mismatch_max"] < 1e-4
        assert learn(batch, models, optimiser, settings, step, step)["first_ratio_error"] < 1e-4
    sampler.close()
    assert any(not torch.equal(before[name], now) for name, now in models.policy.state_dict().items())
