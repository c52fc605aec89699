"""Baselines: the base model, supervised fine-tuning, best-of-n, and controls."""

from rlp_bench.plan.graph import Bench, Handle, method


@method("base", source="Dubois et al. 2023 (arXiv:2305.14387): the pretrained model, prompted")
def base(bench: Bench) -> Handle:
    """The pretrained policy."""
    return bench.base


@method("sft", source="Dubois et al. 2023 (arXiv:2305.14387): supervised fine-tuning on demonstrations")
def sft(bench: Bench) -> Handle:
    """The SFT policy."""
    return bench.sft


@method("best_of_n", source="Nakano et al. 2021 (arXiv:2112.09332); Dubois et al. 2023 (arXiv:2305.14387)")
def best_of_n(bench: Bench) -> Handle:
    """Best of n samples of the SFT policy, by the reward model."""
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    return bench.fit("best_of_n", policy=bench.sft, reward=reward)


@method("longest", source="control: best-of-n whose reward is the number of characters")
def longest(bench: Bench) -> Handle:
    """The longest of n samples of the SFT policy."""
    return bench.fit("best_of_n", policy=bench.sft, by="length")


@method(
    "constant", source="control: one answer to everything (Zheng et al. 2024, arXiv:2410.07137, a null model)"
)
def constant(bench: Bench) -> Handle:
    """The SFT policy's most frequent response, given to every instruction."""
    return bench.fit("constant", policy=bench.sft, prompts=bench.unlabeled)
