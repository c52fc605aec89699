"""Reward learning on policy with unsupervised multi-view learning (RLP-UML), its ablations, and the control.

Every method here is the same algorithm; what differs is the objective that the samples serve.
"""

from typing import Any

from rlp_bench.plan.graph import Bench, Handle, method

PAPER = "Lang et al. 2024 (arXiv:2403.19279)"


@method("rlp_uml", source=f"{PAPER}, Algorithm 1; Eq. 1 without D̂")
def rlp_uml(bench: Bench, **changed: Any) -> Handle:
    """PPO as usual; a new reward model that also learns what responses of that policy have in common; PPO again.

    `changed`: settings of the stage "reward_uml" other than the paper's, for ablations.
    """
    # 1. RLHF: reward model r_φ from the annotator's preferences, then a policy for it.
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    # 2. What that policy says to unlabeled prompts: two responses to one prompt are two views of it.
    samples = bench.fit("sample", policy=policy, prompts=bench.unlabeled, n=10)
    # 3. Reward model r̂ from the same pairs with the multi-view information bottleneck beside them, and PPO afresh.
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
    """RLP-UML that maximises the information between a response and its own representation."""
    return rlp_uml(bench, objective="infomax")


@method("mvi", source=f"{PAPER}, Table 4: MVI")
def mvi(bench: Bench) -> Handle:
    """RLP-UML that keeps the information between views and does not penalise the rest: no SKL term."""
    return rlp_uml(bench, objective="mvi")


@method("cl", source=f"{PAPER}, Table 4: CL (Caron et al. 2020, arXiv:2006.09882)")
def cl(bench: Bench) -> Handle:
    """RLP-UML that predicts one view's prototypes from the other's."""
    return rlp_uml(bench, objective="cl")


@method("rm_retrain", source="control: Eq. 1 with λ = 0 and without D̂; what a second draw of r_φ is worth")
def rm_retrain(bench: Bench) -> Handle:
    """A new reward model from the same pairs, drawn again; PPO again."""
    retrained = bench.fit("reward", init=bench.sft, preferences=bench.preferences, redraw=1)
    return bench.fit("ppo", init=bench.sft, reward=retrained, prompts=bench.unlabeled)
