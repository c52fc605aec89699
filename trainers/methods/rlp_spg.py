"""Reward learning on policy with synthetic preferences (RLP-SPG), its ablation Select-All, and its controls.

Every method here is the same algorithm; what differs is one argument of the stage that makes the synthetic pairs.
"""

from typing import Any

from rlp_bench.plan.graph import Bench, Handle, method

PAPER = "Lang et al. 2024 (arXiv:2403.19279)"


@method("rlp_spg", source=f"{PAPER}, Algorithm 1; Eq. 1 with λ = 0")
def rlp_spg(bench: Bench, **changed: Any) -> Handle:
    """PPO as usual; synthetic preferences from its samples; a new reward model from all pairs; PPO again.

    `changed`: settings of the stage "spg" other than the paper's, for ablations and controls.
    """
    # 1. RLHF: reward model r_φ from the annotator's preferences, then a policy for it.
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    # 2. What that policy says to unlabeled prompts, and which of it is to be preferred (y_w by r_φ).
    samples = bench.fit("sample", policy=policy, prompts=bench.unlabeled, n=10)
    synthetic = bench.fit("spg", samples=samples, reward=reward, **{"confidence": 0.5, **changed})
    # 3. Reward model r̂ from both kinds of pairs, afresh from the SFT policy, and PPO afresh.
    retrained = bench.fit("reward", init=bench.sft, preferences=[bench.preferences, synthetic], redraw=1)
    return bench.fit("ppo", init=bench.sft, reward=retrained, prompts=bench.unlabeled)


@method("select_all", source=f"{PAPER}, Table 5: Select-All")
def select_all(bench: Bench) -> Handle:
    """RLP-SPG that believes every prompt's largest cluster: γ = 0."""
    return rlp_spg(bench, confidence=0.0)


@method("spg_random_w", source="control: how much of y_w is the reward model's doing")
def spg_random_w(bench: Bench) -> Handle:
    """RLP-SPG whose y_w is any member of the largest cluster, not the one that r_φ likes best."""
    return rlp_spg(bench, winner="random")


@method("spg_length_matched", source="control: how much of the synthetic preference is length")
def spg_length_matched(bench: Bench) -> Handle:
    """RLP-SPG whose y_l is the response outside the largest cluster that is nearest to y_w in length."""
    return rlp_spg(bench, loser="nearest_length")


@method("spg_skill_balanced", source="control: confident prompts are of few kinds")
def spg_skill_balanced(bench: Bench) -> Handle:
    """RLP-SPG with as many pairs, but of every category its share of the prompts: the surest of each."""
    return rlp_spg(bench, balance="category")
