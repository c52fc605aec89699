"""RLHF with PPO: the method that reward learning on policy improves on."""

from rlp_bench.plan.graph import Bench, Handle, method


@method("ppo", source="Ouyang et al. 2022 (arXiv:2203.02155) as in Dubois et al. 2023 (arXiv:2305.14387)")
def ppo(bench: Bench) -> Handle:
    """A reward model from preferences, then PPO against it, from and towards the SFT policy."""
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    return bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
