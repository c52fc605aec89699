"""Reward learning on policy with synthetic preferences: the reward model is retrained on what the policy says."""

from rlp_bench.plan import Bench, Handle, method


@method("rlp_spg", source="Lang et al. 2024 (arXiv:2403.19279), Algorithm 1; Eq. 1 with λ = 0")
def rlp_spg(bench: Bench) -> Handle:
    """PPO as usual; synthetic preferences from its samples; a new reward model from all pairs; PPO again."""
    # 1. RLHF: reward model r_φ from the annotator's preferences, then a policy for it.
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    # 2. What that policy says to unlabeled prompts, and which of it is to be preferred (y_w by r_φ).
    samples = bench.fit("sample", policy=policy, prompts=bench.unlabeled, n=10)
    synthetic = bench.fit("spg", samples=samples, reward=reward, confidence=0.5)
    # 3. Reward model r̂ from both kinds of pairs, afresh from the SFT policy, and PPO afresh.
    retrained = bench.fit("reward", init=bench.sft, preferences=[bench.preferences, synthetic])
    return bench.fit("ppo", init=bench.sft, reward=retrained, prompts=bench.unlabeled)
