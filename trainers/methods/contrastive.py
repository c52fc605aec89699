"""Reward models with a contrastive objective (Secrets of RLHF II): they differ in the objective and its features."""

from rlp_bench.plan.graph import Bench, Handle, method

PAPER = "Wang et al. 2024 (arXiv:2401.06080), section 3.1"


@method(
    "simcse_pairs", source=f"{PAPER}: SimCSE (Gao et al. 2021, arXiv:2104.08821) on preference pairs, eq. 9"
)
def simcse_pairs(bench: Bench, objective: str = "simcse_pairs") -> Handle:
    """A reward model that also recognizes each response by its second dropout view; then PPO."""
    reward = bench.fit(
        "reward_contrastive", init=bench.sft, preferences=bench.preferences, objective=objective
    )
    return bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)


@method("simcse_differences", source=f"{PAPER}: SimCSE on preference differences, eq. 9")
def simcse_differences(bench: Bench) -> Handle:
    """The same with the differences of the features of chosen and rejected response."""
    return simcse_pairs(bench, "simcse_differences")


@method(
    "swav_pairs",
    source=f"{PAPER}: SwAV (Caron et al. 2020, arXiv:2006.09882) on preference pairs, eq. 7 and 8",
)
def swav_pairs(bench: Bench) -> Handle:
    """A reward model that also predicts the prototypes of each response's second dropout view; then PPO."""
    return simcse_pairs(bench, "swav_pairs")


@method("swav_differences", source=f"{PAPER}: SwAV on preference differences, eq. 7 and 8")
def swav_differences(bench: Bench) -> Handle:
    """The same with the differences of the features of chosen and rejected response."""
    return simcse_pairs(bench, "swav_differences")
