"""Reward learning on policy with synthetic preferences (RLP-SPG), its ablation Select-All, and its controls.

All methods here are the same algorithm and differ in one argument of the stage that generates the synthetic pairs.
"""

from typing import Any

from rlp_bench.plan.graph import Bench, Handle, method

PAPER = "Lang et al. 2024 (arXiv:2403.19279)"


@method("rlp_spg", source=f"{PAPER}, Algorithm 1; Eq. 1 with λ = 0")
def rlp_spg(bench: Bench, **changed: Any) -> Handle:
    """PPO; synthetic preferences from its samples; a reward model retrained on all pairs; PPO again.

    `changed`: settings of the stage "spg" other than the paper's, for ablations and controls.
    """
    # 1. RLHF: reward model r_φ on the annotator's preferences, then a policy by PPO.
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    # 2. Samples of that policy on unlabeled prompts, and synthetic pairs from them (y_w by r_φ).
    samples = bench.fit("sample", policy=policy, prompts=bench.unlabeled, n=10)
    synthetic = bench.fit("spg", samples=samples, reward=reward, **{"confidence": 0.5, **changed})
    # 3. Reward model r̂ on both kinds of pairs, and PPO, both starting from the SFT policy.
    retrained = bench.fit("reward", init=bench.sft, preferences=[bench.preferences, synthetic], redraw=1)
    return bench.fit("ppo", init=bench.sft, reward=retrained, prompts=bench.unlabeled)


@method("select_all", source=f"{PAPER}, Table 5: Select-All")
def select_all(bench: Bench) -> Handle:
    """RLP-SPG that accepts every prompt's largest cluster: γ = 0."""
    return rlp_spg(bench, confidence=0.0)


@method("spg_random_w", source="control: how much of y_w is the reward model's doing")
def spg_random_w(bench: Bench) -> Handle:
    """RLP-SPG whose y_w is a random member of the largest cluster, not the one with the highest reward."""
    return rlp_spg(bench, winner="random")


@method("spg_length_matched", source="control: how much of the synthetic preference is length")
def spg_length_matched(bench: Bench) -> Handle:
    """RLP-SPG whose y_l is the response outside the largest cluster that is closest to y_w in length."""
    return rlp_spg(bench, loser="nearest_length")


@method("spg_skill_balanced", source="control: confident prompts are of few kinds")
def spg_skill_balanced(bench: Bench) -> Handle:
    """RLP-SPG with the same number of pairs, in proportion to the prompt categories, by confidence within each."""
    return rlp_spg(bench, balance="category")
