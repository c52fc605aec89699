"""The settings of PPO. Published PPO variants for language models differ in the `Flags`; a preset sets all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from rlp_bench.api import BenchError

from ..training.setting_types import Count, NotNegative, Positive, Share

KlEstimator = Literal["k1", "k2", "k3", "clamp"]
Whiten = Literal["off", "keep_mean", "scale"]
TokenScope = Literal["masked", "all_slots"]
MissingEos = Literal["none", "replace", "penalty"]
Calibrate = Literal["none", "center", "standardise"]

SLOTS = 128
"""Rows that `rollout` decodes in parallel."""


@dataclass(frozen=True)
class Flags:
    """Resolved implementation choices. Each can be set on the stage; the preset supplies the others."""

    kl_estimator: KlEstimator
    whiten_rewards: Whiten
    whiten_scope: TokenScope
    whiten_advantages: bool
    gae_lambda: float
    loss_mean: TokenScope
    missing_eos: MissingEos
    calibrate: Calibrate


PRESETS = {
    # Dubois et al. 2023 (arXiv:2305.14387), code rl/ppo_trainer.py. Departs: values after EOS count as 0; theirs are
    # the value network's outputs on padding (no difference for λ = 1).
    "alpacafarm": Flags(
        kl_estimator="clamp",
        whiten_rewards="keep_mean",
        whiten_scope="all_slots",
        whiten_advantages=True,
        gae_lambda=1.0,
        loss_mean="all_slots",
        missing_eos="none",
        calibrate="none",
    ),
    # Stiennon et al. 2020 (arXiv:2009.01325) as reproduced by Huang et al. 2024 (arXiv:2403.17031), rewards not
    # whitened; the score is centered on samples of the SFT policy, so that reward models are comparable.
    "standard": Flags(
        kl_estimator="k1",
        whiten_rewards="off",
        whiten_scope="masked",
        whiten_advantages=True,
        gae_lambda=0.95,
        loss_mean="masked",
        missing_eos="replace",
        calibrate="center",
    ),
}


def resolve(preset: str, **chosen: Any) -> Flags:
    """The preset's flags, overridden by those that are not None."""
    return replace(PRESETS[preset], **{name: value for name, value in chosen.items() if value is not None})


@dataclass(frozen=True)
class PPOSettings:
    """The settings of the stage; flags left at None take the preset's value."""

    preset: Literal["standard", "alpacafarm"] = "standard"
    """Supplies the flags that are not set."""
    rollouts: Count = 80
    """Number of rollouts, each followed by its updates. AlpacaFarm: useful policies after 20 to 80."""
    rollout_batch: Count = 512
    """Prompts per rollout, one response each. AlpacaFarm: 512."""
    minibatch: Count = 256
    """Responses per optimizer update. AlpacaFarm: 256."""
    epochs: Count = 2
    """Passes over each rollout. AlpacaFarm: 2."""
    microbatch: Count = 32
    """Rows of similar length per forward pass (gradient accumulation): memory and speed."""
    learning_rate: Positive = 1e-5
    """Peak learning rate of policy and value network. AlpacaFarm: 1e-5 for 7B; the micro world needs about 3e-4."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Learning-rate schedule per rollout, after warmup. AlpacaFarm: linear."""
    warmup: NotNegative = 5.0
    """Warmup: below 1 a fraction of all rollouts, otherwise a number of rollouts. AlpacaFarm: 5."""
    adam_beta2: Share = 0.999
    """Adam's β₂, the decay of the second moment. AlpacaFarm: .999."""
    adam_epsilon: Positive = 1e-5
    """Adam's ε. AlpacaFarm: 1e-5."""
    max_grad_norm: Positive = 1.0
    """Gradient-norm clipping threshold, over policy and value network together. AlpacaFarm: 1."""
    beta: NotNegative = 0.02
    """KL coefficient, in (calibrated) reward units per nat. AlpacaFarm: .0067 simulated, .02 human."""
    adaptive_kl_target: Positive | None = None
    """Target KL of adaptive beta, nats per response (k1); None: beta is constant. AlpacaFarm's default: None."""
    clip: Positive = 0.2
    """Clip range ε of the probability ratio: [1 - ε, 1 + ε]. AlpacaFarm: .2."""
    value_clip: Positive = 0.2
    """Clip range of the value's change, in reward units. AlpacaFarm: .2."""
    value_weight: Positive = 0.1
    """Coefficient of the value loss. AlpacaFarm: .1."""
    gamma: Share = 1.0
    """Discount factor. AlpacaFarm: 1."""
    temperature: Positive = 1.0
    """Temperature of sampling and of all log-probabilities. AlpacaFarm: 1."""
    top_p: Share = 1.0
    """Must be 1: with truncated sampling, the sampling distribution is not the one in the probability ratios."""
    top_k: int = 0
    """Must be 0, for the same reason as top_p."""
    missing_eos_value: float = -4.0
    """Score or penalty for missing_eos, in standard deviations from the mean reward on SFT samples. Ours."""
    checkpoint_every: Count = 10
    """Rollouts between checkpoints; does not change results."""
    snapshots: tuple[int, ...] = ()
    """Rollout counts after which the policy is saved to snapshots/<count>, for over-optimization curves."""
    kl_estimator: KlEstimator | None = None
    """Estimator of the per-token KL penalty."""
    whiten_rewards: Whiten | None = None
    """Reward whitening: "keep_mean" as published; "scale" without the constant per token that it adds."""
    whiten_scope: TokenScope | None = None
    """Positions that whitening statistics cover: real tokens ("masked") or padding too ("all_slots")."""
    whiten_advantages: bool | None = None
    """Whether advantages are normalized to mean 0 and standard deviation 1 over the rollout."""
    gae_lambda: Share | None = None
    """λ of generalized advantage estimation (GAE)."""
    loss_mean: TokenScope | None = None
    """Denominator of the mean loss: real tokens ("masked"), or rows times slots ("all_slots")."""
    missing_eos: MissingEos | None = None
    """Treatment of the score of a response without EOS: unchanged, replaced, or penalized."""
    calibrate: Calibrate | None = None
    """Reward calibration on SFT samples: none, mean subtracted, or standardized."""

    def __post_init__(self) -> None:
        if self.top_p != 1.0 or self.top_k != 0:
            raise BenchError(
                f"ppo: top_p {self.top_p:g}, top_k {self.top_k}: PPO's ratios are those of the whole distribution; "
                "expected top_p 1 and top_k 0; truncate in the evaluation's decoding instead"
            )
        beyond = [count for count in self.snapshots if not 1 <= count <= self.rollouts]
        if beyond:
            raise BenchError(f"ppo: snapshots {beyond}: expected rollout counts from 1 to {self.rollouts}")

    @property
    def flags(self) -> Flags:
        """All flags: the stage's own where set, otherwise the preset's."""
        return resolve(self.preset, **{flag.name: getattr(self, flag.name) for flag in fields(Flags)})

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        rows = self.rollouts * self.rollout_batch
        row = {
            "batch": self.rollout_batch,
            "prompt": given["prompt"],
            "response": given["response"],
            "logits": True,
        }
        write = {"does": "write", "models": ("policy",), "rows": rows, "microbatch": SLOTS, **row}
        row["microbatch"] = self.microbatch
        read = {"does": "read", "models": ("policy", "ref", "value", "reward"), "rows": rows, **row}
        train = {"does": "train", "models": ("policy", "value"), "rows": rows * self.epochs, **row}
        return {
            "models": {
                "policy": {"trained": True},
                "ref": {"shares": "policy"},
                "reward": {"head": "scalar"},
                "value": {"head": "scalar", "trained": True},
            },
            "passes": (write, read, {**train, "batch": min(self.minibatch, self.rollout_batch)}),
            "updates": self.rollouts * self.epochs * -(-self.rollout_batch // self.minibatch),
        }
