"""The PPO training loop: optimizes a policy against a reward model with a KL penalty to the initial policy."""

import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from rlp_bench.api import Artifact, BenchError, Context, DataError, Decoding, write_jsonl

from ..data.encoding import encode_prompts
from ..data.row_accounting import RowAccount
from ..data.seeding import derived_seed, endless_batches
from ..equations.adaptive_kl import adapted_beta
from ..modeling.checkpoints import save_model
from ..training.checkpointing import load_checkpoint, save_checkpoint
from ..training.distributed import Processes
from ..training.optimizer import Optimizer
from .config import PPOSettings
from .models import Models, load_models
from .sampling import open_sampler, sampled_together
from .update import learn, observe_rollout


def train(
    settings: PPOSettings, inputs: Mapping[str, Artifact], out: Path, context: Context
) -> Mapping[str, float]:
    """Trains and writes the policy, log.jsonl (a row per rollout) and the snapshots; returns the stage's metrics."""
    processes = Processes(context.process_group, context.training, context.device)
    if settings.minibatch < processes.size or settings.rollout_batch < processes.size:
        raise BenchError(
            f"ppo: rollout_batch {settings.rollout_batch}, minibatch {settings.minibatch} and {processes.size} "
            "processes; expected at least one row per process; raise them or lower compute.workers"
        )
    models = load_models(inputs["init"].path, inputs["reward"].path, context.device, processes, context.seed)
    prompts, account = _prompts(inputs["prompts"], models, context)
    with closing(open_sampler(models, context.scratch)):
        log = _learn(settings, models, prompts, context)
    weights = processes.whole(models.policy)
    if processes.main:
        save_model(models.policy, models.tokenizer, out, weights)
        for count in settings.snapshots:
            name = f"snapshots/{count:04d}"
            shutil.copytree(context.scratch / name, out / name)
        write_jsonl(out / "log.jsonl", log)
    return {**account.close(len(prompts)), **_summary(log)}


def _learn(
    settings: PPOSettings, models: Models, prompts: list[list[int]], context: Context
) -> list[dict[str, float]]:
    """Runs all rollouts and updates; returns the log."""
    optimizer = _optimizer(settings, models)
    done, state = load_checkpoint(context.scratch, models.trained, optimizer, models.processes)
    beta: float = state.get("beta", settings.beta)
    log: list[dict[str, float]] = state.get("log", [])
    limit = context.prompting.max_response_tokens
    batches = endless_batches(len(prompts), settings.rollout_batch, settings.rollouts, context.seed)
    decoding = Decoding(settings.temperature, 1.0, limit)
    for step in range(done, settings.rollouts):
        # 1. Sample.
        asked = [prompts[index] for index in batches[step]]
        seed = derived_seed(context.seed, "rollout", step)
        sampled = sampled_together(models, asked, decoding, seed)
        # 2. Run policy, reference, value net and reward model; compute rewards, advantages, returns.
        batch = observe_rollout(sampled, models, settings, beta, limit, context.device)
        # 3. Update policy and value net.
        learnt = learn(batch, models, optimizer, settings, step, derived_seed(context.seed, "learn", step))
        # 4. Log; update the KL coefficient if it is adaptive; snapshot and checkpoint.
        log.append({"rollout": step, "beta": beta, **batch.statistics(), **learnt})
        if settings.adaptive_kl_target is not None:
            beta = adapted_beta(beta, log[-1]["kl_k1"], settings.adaptive_kl_target)
        context.meter.count(**batch.spent(models, settings.epochs))
        context.progress(step + 1, settings.rollouts, _note(log[-1]))
        if step + 1 in settings.snapshots:
            _snapshot(models, context.scratch, step + 1)
        if (step + 1) % settings.checkpoint_every == 0:
            kept = {"beta": beta, "log": log}
            save_checkpoint(context.scratch, step + 1, models.trained, optimizer, kept, models.processes)
    return log


def _optimizer(settings: PPOSettings, models: Models) -> Optimizer:
    """One Adam optimizer for policy and value net; its schedule steps once per rollout, as in AlpacaFarm."""
    return Optimizer(
        [*models.policy.parameters(), *models.value.parameters()],
        total_steps=settings.rollouts,
        peak=settings.learning_rate,
        warmup=settings.warmup,
        schedule=settings.schedule,
        betas=(0.9, settings.adam_beta2),
        epsilon=settings.adam_epsilon,
        max_grad_norm=settings.max_grad_norm,
    )


def _prompts(prompts: Artifact, models: Models, context: Context) -> tuple[list[list[int]], RowAccount]:
    """Token rows of all prompts that fit, and the row account."""
    given = prompts.rows()
    account = RowAccount(len(given))
    rows = [ids for _, ids in encode_prompts(given, models.tokenizer, context.prompting, account)]
    if not rows:
        raise DataError(
            f"ppo: none of {len(given)} prompts in {prompts.path} fits {context.prompting.max_prompt_tokens} "
            "tokens; expected at least one; raise prompting.max_prompt_tokens"
        )
    return rows, account


def _snapshot(models: Models, scratch: Path, count: int) -> None:
    """Saves the current policy atomically in the scratch folder, to be copied when the stage finishes."""
    weights = models.processes.whole(models.policy)
    if not models.processes.main:
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
    """The stage's metrics: means over the last tenth of the rollouts, at least 3 of them."""
    tail = log[-max(3, len(log) // 10) :]
    names = ("score_mean", "kl_k1", "kl_k3", "entropy", "length", "finish_rate", "clipfrac")
    return {
        "rollouts": float(len(log)),
        "score_first": log[0]["score_mean"],
        **{name: sum(row[name] for row in tail) / len(tail) for name in names},
        "kl_alarms": sum(row["kl_alarm"] for row in log),
        "beta": log[-1]["beta"],
    }
