"""MetaRM (Secrets of RLHF II): reward models that keep telling the policy's responses apart, in rounds."""

from typing import Any

from rlp_bench.plan.graph import Bench, Handle, method

PAPER = "Wang et al. 2024 (arXiv:2401.06080), section 3.2, Algorithm 1"


@method("metarm", source=f"{PAPER}: one round")
def metarm(bench: Bench, rounds: int = 1, **changed: Any) -> Handle:
    """PPO; then in each round a reward model trained with samples of the last policy as meta set, and PPO against it.

    Every reward model is trained on the same pairs and every policy from the SFT policy; later rounds share the earlier
    ones.

    Args:
        changed: settings of the stage "reward_meta" other than the defaults.
    """
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    for _ in range(rounds):
        samples = bench.fit("sample", policy=policy, prompts=bench.unlabeled, n=10)
        reward = bench.fit(
            "reward_meta", init=bench.sft, preferences=bench.preferences, samples=samples, **changed
        )
        policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    return policy


@method("metarm_2", source=f"{PAPER}: two rounds")
def metarm_2(bench: Bench) -> Handle:
    """MetaRM, two rounds."""
    return metarm(bench, rounds=2)


@method("metarm_3", source=f"{PAPER}: three rounds, the paper's best for dialogues")
def metarm_3(bench: Bench) -> Handle:
    """MetaRM, three rounds."""
    return metarm(bench, rounds=3)


@method("metarm_4", source=f"{PAPER}: four rounds, the paper's best for summaries")
def metarm_4(bench: Bench) -> Handle:
    """MetaRM, four rounds."""
    return metarm(bench, rounds=4)


@method("metarm_5", source=f"{PAPER}: five rounds")
def metarm_5(bench: Bench) -> Handle:
    """MetaRM, five rounds."""
    return metarm(bench, rounds=5)
