"""Reward models on labels changed by preference strength (Secrets of RLHF II), and the control of as many models.

All methods here are the same algorithm and differ in what happens to the labels. The paper runs PPO without a KL
penalty: the methods `..._no_kl`.
"""

from typing import Any

from rlp_bench.plan.graph import Bench, Handle, method

PAPER = "Wang et al. 2024 (arXiv:2401.06080)"
NO_KL = f"{PAPER}, section 2.3: PPO without KL penalty"


def reward_models(bench: Bench) -> list[Handle]:
    """M reward models on the same pairs, each with another order and another head; the first is that of `ppo`."""
    count, scoring = (bench.setting("strength", name) for name in ("models", "scoring"))
    folds = bench.setting("strength", "folds") if scoring == "cross_fit" else 1
    left_out = [{"folds": folds, "left_out": model % folds} if folds > 1 else {} for model in range(count)]
    return [
        bench.fit("reward", init=bench.sft, preferences=bench.preferences, redraw=model, **left_out[model])
        for model in range(count)
    ]


def strengths(bench: Bench) -> Handle:
    """The preference strength of every pair: measured by M reward models, or from the recipe's file."""
    if bench.recipe.data.strengths_from:
        given = bench.data("strengths")
        return bench.fit("import_strengths", preferences=bench.preferences, pairs=given)
    return bench.fit("strength", preferences=bench.preferences, rewards=reward_models(bench))


def policy(bench: Bench, labels: dict[str, Any], ppo: dict[str, Any]) -> Handle:
    """PPO against a reward model on the annotator's pairs, with `labels` changed by their strength."""
    # 1. M reward models tell how strong, and how certain, each preference is.
    # 2. The labels are changed, and a reward model is trained on them: the same head and order as that of `ppo`.
    labeled = bench.fit("relabel", preferences=bench.preferences, strengths=strengths(bench), **labels)
    reward = bench.fit("reward", init=bench.sft, preferences=labeled)
    # 3. PPO from the SFT policy.
    return bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled, **ppo)


@method("rm_flip", source=f"{PAPER}, section 2.3: Flip")
def rm_flip(bench: Bench, **ppo: Any) -> Handle:
    """Labels of negative strength are flipped."""
    return policy(bench, {"flip": "negative"}, ppo)


@method("rm_margin", source=f"{PAPER}, section 2.3: Margin (eq. 6)")
def rm_margin(bench: Bench, **ppo: Any) -> Handle:
    """Every pair gets its strength as a margin; a negative one relaxes the pair."""
    return policy(bench, {"margin": True}, ppo)


@method("rm_flip_margin", source=f"{PAPER}, section 2.3: Flip + Margin")
def rm_flip_margin(bench: Bench, **ppo: Any) -> Handle:
    """Labels of negative strength are flipped, and every pair gets its absolute strength as a margin."""
    return policy(bench, {"flip": "negative", "margin": True}, ppo)


@method("rm_soft_margin", source=f"{PAPER}, section 2.3: Soft Label + Margin (eq. 5 and 6)")
def rm_soft_margin(bench: Bench, **ppo: Any) -> Handle:
    """Labels of negative strength are smoothed, and every pair gets its strength as a margin."""
    return policy(bench, {"smooth": "negative", "margin": True}, ppo)


@method("rm_average", source="control: the mean of the M reward models as the reward (Coste et al. 2024)")
def rm_average(bench: Bench, **ppo: Any) -> Handle:
    """The M reward models that measure strength, averaged; no label is changed."""
    reward = bench.fit("average_rewards", preferences=bench.preferences, rewards=reward_models(bench))
    return bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled, **ppo)


@method("ppo_no_kl", source=NO_KL)
def ppo_no_kl(bench: Bench) -> Handle:
    """PPO without a KL penalty."""
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    return bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled, beta=0.0)


@method("rm_flip_no_kl", source=NO_KL)
def rm_flip_no_kl(bench: Bench) -> Handle:
    """`rm_flip` without a KL penalty."""
    return rm_flip(bench, beta=0.0)


@method("rm_margin_no_kl", source=NO_KL)
def rm_margin_no_kl(bench: Bench) -> Handle:
    """`rm_margin` without a KL penalty."""
    return rm_margin(bench, beta=0.0)


@method("rm_flip_margin_no_kl", source=NO_KL)
def rm_flip_margin_no_kl(bench: Bench) -> Handle:
    """`rm_flip_margin` without a KL penalty."""
    return rm_flip_margin(bench, beta=0.0)


@method("rm_soft_margin_no_kl", source=NO_KL)
def rm_soft_margin_no_kl(bench: Bench) -> Handle:
    """`rm_soft_margin` without a KL penalty."""
    return rm_soft_margin(bench, beta=0.0)


@method("rm_average_no_kl", source=NO_KL)
def rm_average_no_kl(bench: Bench) -> Handle:
    """`rm_average` without a KL penalty."""
    return rm_average(bench, beta=0.0)
