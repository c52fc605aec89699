"""RLHF with PPO, the method that reward learning on policy extends."""

from rlp_bench.plan.graph import Bench, Handle, method


@method("ppo", source="Ouyang et al. 2022 (arXiv:2203.02155) as in Dubois et al. 2023 (arXiv:2305.14387)")
def ppo(bench: Bench) -> Handle:
    """A reward model trained on preferences, then PPO from the SFT policy with a KL penalty to it."""
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    return bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
