"""Reward learning on policy with unsupervised multi-view learning (RLP-UML), its ablations, and the control.

All methods here are the same algorithm and differ in the objective on the samples.
"""

from typing import Any

from rlp_bench.plan.graph import Bench, Handle, method

PAPER = "Lang et al. 2024 (arXiv:2403.19279)"


@method("rlp_uml", source=f"{PAPER}, Algorithm 1; Eq. 1 without D̂")
def rlp_uml(bench: Bench, **changed: Any) -> Handle:
    """PPO; a reward model retrained with a multi-view objective on that policy's samples; PPO again.

    `changed`: settings of the stage "reward_uml" other than the paper's, for ablations.
    """
    # 1. RLHF: reward model r_φ on the annotator's preferences, then a policy by PPO.
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    # 2. Samples of that policy on unlabeled prompts: two responses to one prompt are two views of it.
    samples = bench.fit("sample", policy=policy, prompts=bench.unlabeled, n=10)
    # 3. Reward model r̂ on the same pairs plus the multi-view information bottleneck, and PPO from the SFT policy.
    retrained = bench.fit(
        "reward_uml",
        init=bench.sft,
        preferences=bench.preferences,
        samples=samples,
        **{"objective": "mib", "redraw": 1, **changed},
    )
    return bench.fit("ppo", init=bench.sft, reward=retrained, prompts=bench.unlabeled)


@method("infomax", source=f"{PAPER}, Table 4: InfoMax")
def infomax(bench: Bench) -> Handle:
    """RLP-UML that maximizes the information between a response and its own representation."""
    return rlp_uml(bench, objective="infomax")


@method("mvi", source=f"{PAPER}, Table 4: MVI")
def mvi(bench: Bench) -> Handle:
    """RLP-UML that maximizes the information between views without a penalty on the rest: no SKL term."""
    return rlp_uml(bench, objective="mvi")


@method("cl", source=f"{PAPER}, Table 4: CL (Caron et al. 2020, arXiv:2006.09882)")
def cl(bench: Bench) -> Handle:
    """RLP-UML that predicts one view's prototype assignment from the other view."""
    return rlp_uml(bench, objective="cl")


@method("rm_retrain", source="control: Eq. 1 with λ = 0 and without D̂; what a second draw of r_φ is worth")
def rm_retrain(bench: Bench) -> Handle:
    """A reward model retrained on the same pairs with another seed; PPO again."""
    retrained = bench.fit("reward", init=bench.sft, preferences=bench.preferences, redraw=1)
    return bench.fit("ppo", init=bench.sft, reward=retrained, prompts=bench.unlabeled)
