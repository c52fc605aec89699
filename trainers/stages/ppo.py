"""Proximal policy optimisation of a policy against a reward model, kept near the policy that it starts from."""

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rlp_bench.errors import BenchError, DataError
from rlp_bench.nouns import Artifact, Context, Decoding, write_jsonl

from ..limits import Count, NotNegative, Positive, Share
from ..ppo_flags import Calibrate, Flags, KlEstimator, MissingEos, Slots, Whiten, resolve

if TYPE_CHECKING:
    from ..ppo_models import Models

SLOTS = 128
"""Rows that `rollout` decodes side by side."""


@dataclass(frozen=True)
class PPO:
    """max E[r(x, y)] − β KL(π ‖ π_init), with a clipped surrogate and a separate value net.

    Source: Ouyang et al. 2022 (arXiv:2203.02155), equation 2, without the pretraining term; Schulman et al. 2017
    (arXiv:1707.06347). What implementations differ in are flags; see `ppo_flags`.
    """

    name: ClassVar[str] = "ppo"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "reward": "reward", "prompts": "prompts"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    spreads: ClassVar[bool] = True

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
    whiten_scope: Slots | None = None
    """Whether whitening sees padding."""
    whiten_advantages: bool | None = None
    """Advantages to mean 0 and spread 1 over the rollout."""
    gae_lambda: Share | None = None
    """λ of generalised advantage estimation."""
    loss_mean: Slots | None = None
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

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the policy, log.jsonl (a row per rollout) and the snapshots."""
        from ..models import save_model
        from ..ppo_models import load_models
        from ..ppo_sampling import open_sampler
        from ..spread import Spread

        spread = Spread(context.world, context.training, context.device)
        if self.minibatch < spread.size or self.rollout_batch < spread.size:
            raise BenchError(
                f"ppo: rollout_batch {self.rollout_batch}, minibatch {self.minibatch} and {spread.size} processes that "
                "train together; expected at least one row each; raise them or lower compute.workers"
            )
        models = load_models(inputs["init"].path, inputs["reward"].path, context.device, spread, context.seed)
        prompts, ledger = _prompts(inputs["prompts"], models, context)
        with closing(open_sampler(models, context.scratch)):
            log = self._learn(models, prompts, context)
        weights = spread.whole(models.policy)
        if spread.main:
            save_model(models.policy, models.tokenizer, out, weights)
            for count in self.snapshots:
                name = f"snapshots/{count:04d}"
                shutil.copytree(context.scratch / name, out / name)
            write_jsonl(out / "log.jsonl", log)
        return {**ledger.close(len(prompts)), **_summary(log)}

    def _learn(self, models: "Models", prompts: list[list[int]], context: Context) -> list[dict[str, float]]:
        """Every rollout and what is learnt from it; returns the log."""
        from ..chance import derived_seed, endless_batches
        from ..checkpointing import load_checkpoint, save_checkpoint
        from ..equations.adaptive_kl import adapted_beta
        from ..ppo_sampling import sampled_together
        from ..ppo_update import learn, observe_rollout

        optimiser = self._optimiser(models)
        done, state = load_checkpoint(context.scratch, models.trained, optimiser, models.spread)
        beta: float = state.get("beta", self.beta)
        log: list[dict[str, float]] = state.get("log", [])
        limit = context.prompting.max_response_tokens
        batches = endless_batches(len(prompts), self.rollout_batch, self.rollouts, context.seed)
        decoding = Decoding(self.temperature, 1.0, limit)
        for step in range(done, self.rollouts):
            # 1. Sample.
            asked = [prompts[index] for index in batches[step]]
            seed = derived_seed(context.seed, "rollout", step)
            sampled = sampled_together(models, asked, decoding, seed)
            # 2. Ask policy, reference, value net and reward model; rewards, advantages, returns.
            batch = observe_rollout(sampled, models, self, beta, limit, context.device)
            # 3. Learn from it.
            learnt = learn(batch, models, optimiser, self, step, derived_seed(context.seed, "learn", step))
            # 4. Bookkeeping; the KL coefficient follows its target if it has one.
            log.append({"rollout": step, "beta": beta, **batch.statistics(), **learnt})
            if self.adaptive_kl_target is not None:
                beta = adapted_beta(beta, log[-1]["kl_k1"], self.adaptive_kl_target)
            context.meter.count(**batch.spent(models, self.epochs))
            context.progress(step + 1, self.rollouts, _note(log[-1]))
            if step + 1 in self.snapshots:
                _snapshot(models, context.scratch, step + 1)
            if (step + 1) % self.checkpoint_every == 0:
                kept = {"beta": beta, "log": log}
                save_checkpoint(context.scratch, step + 1, models.trained, optimiser, kept, models.spread)
        return log

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/predict/work.py."""
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

    def _optimiser(self, models: "Models") -> Any:
        """One Adam over policy and value net; its schedule counts rollouts, as AlpacaFarm's does."""
        from ..optimiser import Optimiser

        return Optimiser(
            [*models.policy.parameters(), *models.value.parameters()],
            total_steps=self.rollouts,
            peak=self.learning_rate,
            warmup=self.warmup,
            schedule=self.schedule,
            betas=(0.9, self.adam_beta2),
            epsilon=self.adam_epsilon,
            max_grad_norm=self.max_grad_norm,
        )


def _prompts(prompts: Artifact, models: "Models", context: Context) -> tuple[list[list[int]], Any]:
    """Token rows of all prompts that fit."""
    from ..encoding import encode_prompts
    from ..ledger import Ledger

    given = prompts.rows()
    ledger = Ledger(len(given))
    rows = [ids for _, ids in encode_prompts(given, models.tokenizer, context.prompting, ledger)]
    if not rows:
        raise DataError(
            f"ppo: none of {len(given)} prompts in {prompts.path} fits {context.prompting.max_prompt_tokens} "
            "tokens; expected at least one; raise prompting.max_prompt_tokens"
        )
    return rows, ledger


def _snapshot(models: "Models", scratch: Path, count: int) -> None:
    """Keeps the policy of this moment, whole or not at all, until the stage is done."""
    from ..models import save_model

    weights = models.spread.whole(models.policy)
    if not models.spread.main:
        return
    folder = scratch / "snapshots" / f"{count:04d}"
    partial = folder.with_name(f"partial-{count:04d}")
    shutil.rmtree(partial, ignore_errors=True)
    save_model(models.policy, models.tokenizer, partial, weights)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _note(row: Mapping[str, float]) -> str:
    return f"reward {row['score_mean']:+.2f} KL {row['kl_k1']:.2f} length {row['length']:.0f}"


def _summary(log: list[dict[str, float]]) -> dict[str, float]:
    """Means over the last tenth of the rollouts, at least 3 of them."""
    tail = log[-max(3, len(log) // 10) :]
    names = ("score_mean", "kl_k1", "kl_k3", "entropy", "length", "finish_rate", "clipfrac")
    return {
        "rollouts": float(len(log)),
        "score_first": log[0]["score_mean"],
        **{name: sum(row[name] for row in tail) / len(tail) for name in names},
        "kl_alarms": sum(row["kl_alarm"] for row in log),
        "beta": log[-1]["beta"],
    }
