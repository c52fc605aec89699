"""RLP-SPG with other sources of labels for the policy's samples: the policy, the reward model, the annotator."""

from rlp_bench.plan.graph import Bench, Handle, method

PAPER = "Lang et al. 2024 (arXiv:2403.19279)"


@method("rlaif", source=f"{PAPER}, Table 5: RLAIF (Lee et al. 2023, arXiv:2309.00267)")
def rlaif(bench: Bench) -> Handle:
    """The policy itself labels pairs of its samples."""
    _, policy, samples = _first_step(bench)
    return _second_step(bench, bench.fit("rlaif", samples=samples, policy=policy))


@method("reward_pairs", source=f"{PAPER}, Table 5: Reward")
def reward_pairs(bench: Bench) -> Handle:
    """The first reward model labels pairs of the policy's samples."""
    reward, _, samples = _first_step(bench)
    return _second_step(bench, bench.fit("reward_pairs", samples=samples, reward=reward))


@method("more_human", source="control: the ceiling of any synthetic label")
def more_human(bench: Bench) -> Handle:
    """The annotator labels pairs of the policy's samples, as many as RLP-SPG accepts."""
    reward, _, samples = _first_step(bench)
    synthetic = bench.fit("spg", samples=samples, reward=reward, confidence=0.5)
    return _second_step(bench, bench.fit("annotate", samples=samples, like=synthetic))


def _first_step(bench: Bench) -> tuple[Handle, Handle, Handle]:
    """(r_φ, its policy, that policy's samples on unlabeled prompts), as in RLP-SPG."""
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    policy = bench.fit("ppo", init=bench.sft, reward=reward, prompts=bench.unlabeled)
    return reward, policy, bench.fit("sample", policy=policy, prompts=bench.unlabeled, n=10)


def _second_step(bench: Bench, pairs: Handle) -> Handle:
    """The policy trained with a reward model on the annotator's pairs and `pairs`, as in RLP-SPG."""
    retrained = bench.fit("reward", init=bench.sft, preferences=[bench.preferences, pairs], redraw=1)
    return bench.fit("ppo", init=bench.sft, reward=retrained, prompts=bench.unlabeled)
