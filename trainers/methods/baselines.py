"""What reward learning is compared with: nothing, imitation, and choosing instead of training."""

from rlp_bench.plan.graph import Bench, Handle, method


@method("base", source="Dubois et al. 2023 (arXiv:2305.14387): the pretrained model, prompted")
def base(bench: Bench) -> Handle:
    """The policy that everybody starts from."""
    return bench.base


@method("sft", source="Dubois et al. 2023 (arXiv:2305.14387): supervised fine-tuning on demonstrations")
def sft(bench: Bench) -> Handle:
    """Imitation alone."""
    return bench.sft


@method("best_of_n", source="Nakano et al. 2021 (arXiv:2112.09332); Dubois et al. 2023 (arXiv:2305.14387)")
def best_of_n(bench: Bench) -> Handle:
    """The SFT policy answers n times and the reward model picks."""
    reward = bench.fit("reward", init=bench.sft, preferences=bench.preferences)
    return bench.fit("best_of_n", policy=bench.sft, reward=reward)


@method("longest", source="control: best-of-n whose reward is the number of characters")
def longest(bench: Bench) -> Handle:
    """The SFT policy answers n times and the longest answer is taken."""
    return bench.fit("best_of_n", policy=bench.sft, by="length")


@method(
    "constant", source="control: one answer to everything (Zheng et al. 2024, arXiv:2410.07137, a null model)"
)
def constant(bench: Bench) -> Handle:
    """What the SFT policy says most often, said to every instruction."""
    return bench.fit("constant", policy=bench.sft, prompts=bench.unlabeled)
