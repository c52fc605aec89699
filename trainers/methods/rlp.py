"""Reward learning on policy with all terms of Eq. 1: annotated pairs, synthetic pairs, unsupervised objective."""

from rlp_bench.plan.graph import Bench, Handle, method


@method(
    "rlp",
    source="Lang et al. 2024 (arXiv:2403.19279), Eq. 1 with D, D̂ and λ L_M; the paper shows no row for it",
)
def rlp(bench: Bench) -> Handle:
    """RLP-SPG's pairs and RLP-UML's objective in one retrained reward model."""
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    samples = bench.fit("sample", policy=policy, prompts=bench.unlabeled, n=10)
    synthetic = bench.fit("spg", samples=samples, reward=reward, confidence=0.5)
    retrained = bench.fit(
        "reward_uml",
        init=bench.sft,
        preferences=[bench.preferences, synthetic],
        samples=samples,
        objective="mib",
        redraw=1,
    )
    return bench.fit("ppo", init=bench.sft, reward=retrained, prompts=bench.unlabeled)
