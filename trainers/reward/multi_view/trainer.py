"""The reward model of RLP-UML: beside the pairs it learns what a policy's responses to one prompt have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rlp_bench.api import BenchError, Context

from ...training.setting_types import Count, NotNegative, Positive, Share
from ..auxiliary import AuxiliaryObjective
from ..trainer import RewardModel
from .views import CONTRAST

if TYPE_CHECKING:
    from torch.nn import Module

    from ...training.distributed import Processes


@dataclass(frozen=True)
class PolicyRewardModel(RewardModel):
    """Bradley-Terry plus λ L_M on two different responses of the policy to each of as many prompts as there are pairs.

    The views are the hidden states that the reward head reads, so that what L_M shapes is what the reward sees; they
    are drawn afresh in every update. The heads of L_M are thrown away. The optimiser has two groups, each with a rate
    and a clip of its own: with `weight` 0 this is a `reward` of the same `redraw`, bit for bit.

    Source: Lang et al. 2024 (arXiv:2403.19279), section 3.1 and Eq. 1; table 4 for the other objectives. The paper is
    silent on views, latent size, critic, negatives and rates: docs/equations.md says what we chose and why.
    """

    name: ClassVar[str] = "reward_uml"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {
        "init": "policy", "preferences": "preferences*", "samples": "samples"
    }  # fmt: skip

    objective: Literal["mib", "infomax", "mvi", "cl"] = "mib"
    """Multi-view information bottleneck (RLP-UML), InfoMax, MVI (the bottleneck without SKL), CL (SwAV)."""
    weight: NotNegative = 0.5
    """λ, of the whole objective. RLP: .5."""
    skl_weight: NotNegative = 1.0
    """β, of the symmetrised KL within the bottleneck. RLP's formula shows none: 1. MVI has 0 whatever this says."""
    skl_schedule: Literal["constant", "fed"] = "constant"
    """"fed": a thousandth of β for the first third of all updates, then growing by a constant factor (Federici et al.
    2020, whose 150 000 updates are cut to the number there is)."""
    skl: Literal["closed", "mc"] = "closed"
    """The KL in closed form, or from the one draw that there is (Federici et al. 2020)."""
    negatives: Literal["all", "roll"] = "all"
    """False pairs: all B(B - 1) in a batch, or one each (Federici et al. 2020)."""
    z_dim: Count = 64
    """Size of z. Federici et al. 2020: 64."""
    hidden: Count = 1024
    """Width of encoders, critic and projection. Federici et al. 2020: 1024; the embedded world needs 64."""
    shared_trunk: bool = False
    """One network for mean and deviation (Federici et al. 2020) instead of two (RLP)."""
    prototypes: Count = 128
    """Of CL, with a queue so that batch and queue are twice as many. Caron et al. 2020: 3000, for batches of 4096."""
    head_learning_rate: Positive = 1e-4
    """Peak rate of everything that is thrown away. Federici et al. 2020: 1e-4; at the backbone's 3e-6 it would stay as
    it was drawn."""
    heldout_prompts: Share = 0.05
    """Share of the samples' prompts kept for measuring, at least 8. Ours."""
    ratio_every: Count = 10
    """Updates between two measurements of the ratio of the two gradients' norms."""

    def __post_init__(self) -> None:
        if self.batch < CONTRAST:
            raise BenchError(
                f"reward_uml: batch is {self.batch}; in-batch negatives need at least {CONTRAST} distinct prompts in a "
                "batch (gradient accumulation does not help); raise batch"
            )

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        told = super().work(given)
        train, read = told["passes"]
        views = {**train, "rows": told["updates"] * self.batch, "copies": 3}
        [prompts] = given["rows"]["samples"]
        held = max(CONTRAST, self.heldout_prompts * prompts) * given["responses"]["samples"]
        row = {"microbatch": self.microbatch, "response": given["response"], "masked": False}
        passes = (train, views, read, {**read, "rows": held, **row})
        return {**told, "passes": passes, "extra": self._heads(int(given["hidden"]))}

    def _heads(self, hidden_size: int) -> int:
        """Parameters of everything that is thrown away, counted where no memory is taken."""
        import torch

        with torch.device("meta"):
            return sum(parameter.numel() for parameter in self._objective(hidden_size, 1, 0).parameters())

    def _auxiliary(
        self, model: Any, tokenizer: Any, inputs: Mapping[str, Any], updates: int, seed: int, context: Context,
        processes: "Processes",
    ) -> AuxiliaryObjective:  # fmt: skip
        """λ L_M on the samples."""
        from .auxiliary import PolicyViews
        from .views import read_views

        prompts, held, account = read_views(
            inputs["samples"], tokenizer, context.prompting, self.eos, self.heldout_prompts
        )
        return PolicyViews(
            model,
            self._objective(model.config.hidden_size, updates, seed),
            prompts,
            held,
            batch=self.batch,
            updates=updates,
            microbatch=self.microbatch,
            weight=self.weight,
            learning_rate=self.head_learning_rate,
            ratio_every=self.ratio_every,
            pad_id=tokenizer.pad_token_id,
            seed=seed,
            meter=context.meter,
            account=account,
            processes=processes,
        )

    def _objective(self, hidden_size: int, updates: int, seed: int) -> "Module":
        """The objective with fresh heads, drawn from a seed of their own."""
        import torch

        from ...data.seeding import derived_seed
        from .heads import Critic, Encoder, FeatureQueue, Prototypes
        from .objectives import InfoMax, MultiViewBottleneck, SwappedPrediction

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, "uml_heads"))
            if self.objective == "cl":
                queue = FeatureQueue(max(0, 2 * self.prototypes - self.batch))
                return SwappedPrediction(Prototypes(hidden_size, self.hidden, self.prototypes), queue)
            encoder = Encoder(hidden_size, self.hidden, self.z_dim, self.shared_trunk)
            if self.objective == "infomax":
                return InfoMax(encoder, Critic(hidden_size, self.z_dim, self.hidden), self.negatives)
            critic = Critic(self.z_dim, self.z_dim, self.hidden)
            return MultiViewBottleneck(
                encoder, critic, self.negatives, self.skl, lambda step: self._beta(step, updates)
            )

    def _beta(self, step: int, updates: int) -> float:
        """Weight of the SKL at an update."""
        from ...equations.bottleneck_schedule import exponential_weight

        if self.objective == "mvi":
            return 0.0
        if self.skl_schedule == "constant" or not self.skl_weight:
            return self.skl_weight
        start = updates // 3
        return exponential_weight(
            step, 1e-3 * self.skl_weight, self.skl_weight, start, max(1, updates - start)
        )
