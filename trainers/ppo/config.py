"""PPO's settings. What published PPOs for language models differ in are flags; a preset is a set of their defaults."""

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
"""Rows that `rollout` decodes side by side."""


@dataclass(frozen=True)
class Flags:
    """Every choice, made. Each can be set alone on the stage; what is not set comes from the preset."""

    kl_estimator: KlEstimator
    whiten_rewards: Whiten
    whiten_scope: TokenScope
    whiten_advantages: bool
    gae_lambda: float
    loss_mean: TokenScope
    missing_eos: MissingEos
    calibrate: Calibrate


PRESETS = {
    # Dubois et al. 2023 (arXiv:2305.14387), code rl/ppo_trainer.py. Departs: values after EOS count as 0, where
    # theirs are whatever the value net says of padding (the same for λ = 1).
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
    # whitened; the score centred on samples of the SFT policy, so that it means the same for every reward model.
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
    """The preset's flags with those that were chosen (not None) in their place."""
    return replace(PRESETS[preset], **{name: value for name, value in chosen.items() if value is not None})


@dataclass(frozen=True)
class PPOSettings:
    """The settings of the stage; flags left at None take the preset's value."""

    preset: Literal["standard", "alpacafarm"] = "standard"
    """Defaults of the flags that are not set."""
    rollouts: Count = 80
    """How often the policy samples and learns. AlpacaFarm: 20 to 80 give the useful policies."""
    rollout_batch: Count = 512
    """Prompts per rollout, one response each. AlpacaFarm: 512."""
    minibatch: Count = 256
    """Responses per update. AlpacaFarm: 256."""
    epochs: Count = 2
    """Passes over each rollout. AlpacaFarm: 2."""
    microbatch: Count = 32
    """Rows per forward pass, of like length; a memory and speed knob."""
    learning_rate: Positive = 1e-5
    """Peak rate of policy and value net. AlpacaFarm: 1e-5 for 7B; the embedded world's 0.2 M need about 3e-4."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Per rollout, after the warm-up. AlpacaFarm: linear."""
    warmup: NotNegative = 5.0
    """Rollouts from 1, a share of them below. AlpacaFarm: 5."""
    adam_beta2: Share = 0.999
    """Decay of Adam's second moment. AlpacaFarm: .999."""
    adam_epsilon: Positive = 1e-5
    """Adam's ε. AlpacaFarm: 1e-5."""
    max_grad_norm: Positive = 1.0
    """Gradients of policy and value net together are scaled down to this norm. AlpacaFarm: 1."""
    beta: NotNegative = 0.02
    """KL coefficient, in the unit of the (calibrated) reward per nat. AlpacaFarm: .0067 simulated, .02 human."""
    adaptive_kl_target: Positive | None = None
    """KL to hold, nats a response (k1); beta stays as it is where not set. AlpacaFarm's default: not set."""
    clip: Positive = 0.2
    """Half-width of the trusted ratio. AlpacaFarm: .2."""
    value_clip: Positive = 0.2
    """Largest trusted change of a value, in the unit of the reward. AlpacaFarm: .2."""
    value_weight: Positive = 0.1
    """Weight of the value loss. AlpacaFarm: .1."""
    gamma: Share = 1.0
    """Discount. AlpacaFarm: 1."""
    temperature: Positive = 1.0
    """Of sampling and of every log-probability. AlpacaFarm: 1."""
    top_p: Share = 1.0
    """Must be 1: truncated sampling draws from another distribution than the one whose ratios are trained."""
    top_k: int = 0
    """Must be 0, for the same reason."""
    missing_eos_value: float = -4.0
    """For missing_eos, in standard deviations of the reward on SFT samples from its mean there. Ours."""
    checkpoint_every: Count = 10
    """Rollouts between checkpoints; changes no result."""
    snapshots: tuple[int, ...] = ()
    """Rollout counts after which the policy is kept in snapshots/<count>, for over-optimisation curves."""
    kl_estimator: KlEstimator | None = None
    """Per-token KL that is paid for."""
    whiten_rewards: Whiten | None = None
    """"keep_mean" as published, "scale" without the per-token constant that it brings."""
    whiten_scope: TokenScope | None = None
    """Whether whitening sees padding."""
    whiten_advantages: bool | None = None
    """Advantages to mean 0 and spread 1 over the rollout."""
    gae_lambda: Share | None = None
    """λ of generalised advantage estimation."""
    loss_mean: TokenScope | None = None
    """What a loss is divided by: real tokens, or rows times slots."""
    missing_eos: MissingEos | None = None
    """What becomes of the score of a response that was cut at the limit."""
    calibrate: Calibrate | None = None
    """Zero and unit of the reward: those of its scores on SFT samples, or its own."""

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
        """All flags, the preset's where this stage sets none."""
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
