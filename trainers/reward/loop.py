"""The training loop of reward models."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import Artifact, Context, DataError, write_jsonl

from ..data.preference_pairs import TokenPair, split_pairs
from ..data.seeding import derived_seed, endless_batches, epoch_batches
from ..equations.adaptive_margin import adaptive_margin_loss
from ..equations.bradley_terry import bradley_terry_loss, preference_accuracy
from ..equations.label_smoothing import label_smoothing_loss
from ..modeling.checkpoints import RewardInfo, new_reward, save_model
from ..modeling.pair_scoring import pair_scores
from ..training.checkpointing import load_checkpoint, save_checkpoint
from ..training.distributed import Processes
from ..training.optimizer import Optimizer
from .auxiliary import MakeAuxiliary, MakePairs
from .config import RewardSettings


def train(
    settings: RewardSettings,
    inputs: Mapping[str, Any],
    out: Path,
    context: Context,
    make_auxiliary: MakeAuxiliary | None = None,
    make_pairs: MakePairs | None = None,
) -> Mapping[str, float]:
    """Trains and writes the reward model, reward.json and log.jsonl (loss, accuracy, learning rate, gradient norm).

    Args:
        make_auxiliary: creates an auxiliary objective whose gradient is added in every update.
        make_pairs: creates an objective that computes the gradient of the pairs in another way.

    Returns:
        The stage's metrics.
    """
    processes = Processes(context.process_group, context.training, context.device)
    seed = derived_seed(context.seed, "redraw", settings.redraw) if settings.redraw else context.seed
    model, tokenizer = new_reward(inputs["init"].path, derived_seed(seed, "head"), context.device)
    pairs, held, account = split_pairs(
        _artifacts(inputs["preferences"]), tokenizer, context.prompting, settings.heldout, settings.eos,
        settings.folds, settings.left_out,
    )  # fmt: skip
    model = processes.prepare(model, seed=seed)
    batches = _batches(settings, len(pairs), int(account.notes["pairs_of_first"]), seed)
    made = (model, tokenizer, inputs, len(batches), seed, context, processes)
    auxiliary = make_auxiliary(*made) if make_auxiliary else None
    of_pairs = make_pairs(*made) if make_pairs else None
    beside = auxiliary or of_pairs
    optimizer = Optimizer(
        model.parameters(),
        total_steps=len(batches),
        peak=settings.learning_rate,
        warmup=settings.warmup,
        schedule=settings.schedule,
        max_grad_norm=settings.max_grad_norm,
        auxiliary=beside.module.parameters() if beside else (),
        auxiliary_peak=beside.learning_rate if beside else 0.0,
    )
    modules = {"reward": model, "beside": beside.module} if beside else {"reward": model}
    done, state = load_checkpoint(context.scratch, modules, optimizer, processes)
    log: list[dict[str, float]] = state.get("log", [])
    for step in range(done, len(batches)):
        batch = [pairs[index] for index in batches[step]]
        if of_pairs:
            row = of_pairs.backward(step, batch)
        else:
            row = pair_backward(settings, processes, model, batch, tokenizer.pad_token_id)
        row |= auxiliary.backward(step) if auxiliary else {}
        processes.sum_gradients(optimizer.parameters)
        update = optimizer.update(step, "reward")
        log.append({"step": step, **row, **asdict(update)})
        context.meter.count(tokens_trained=sum(len(p.chosen) + len(p.rejected) for p in batch))
        context.progress(step + 1, len(batches), f"loss {row['loss']:.3f}")
        if (step + 1) % settings.checkpoint_every == 0:
            save_checkpoint(context.scratch, step + 1, modules, optimizer, {"log": log}, processes)
    weights = processes.whole(model)
    if processes.main:
        save_model(model, tokenizer, out, weights)
        write_jsonl(out / "log.jsonl", log)
    tail = log[-max(1, len(log) // 10) :]
    return {
        **account.close(len(pairs) + len(held)),
        **_calibrate(settings, processes, model, held, tokenizer.pad_token_id, out),
        **(beside.measure(log) if beside else {}),
        "updates": float(len(log)),
        "pairs_trained": float(len(pairs)),
        "train_loss": sum(row["loss"] for row in tail) / len(tail),
        "train_accuracy": sum(row["accuracy"] for row in tail) / len(tail),
    }


def _batches(settings: RewardSettings, pairs: int, of_first: int, seed: int) -> list[list[int]]:
    """Indices of the pairs of every update."""
    if settings.match_steps:
        updates = settings.epochs * -(-of_first // settings.batch)
        return endless_batches(pairs, min(settings.batch, pairs), updates, seed)
    return epoch_batches(pairs, settings.batch, settings.epochs, seed)


def pair_backward(
    settings: RewardSettings, processes: Processes, model: Any, batch: Sequence[TokenPair], pad: int
) -> dict[str, float]:
    """Accumulates the gradient of this process's part of the batch's mean loss; returns loss (nats) and accuracy."""
    mine, weights = processes.share(batch)
    chosen, rejected = processes.run(model, _scores, mine, pad, settings.microbatch)
    losses, part = pair_losses(chosen, rejected, mine), sum(weights) / len(batch)
    real = slice(None) if all(weights) else slice(int(sum(weights)))
    loss = losses[real].mean() * part if part else 0 * losses.sum()
    processes.backward(loss)
    accuracy = (
        part * float(preference_accuracy(chosen.detach()[real], rejected.detach()[real])) if part else 0.0
    )
    return processes.sums({"loss": float(loss.detach()), "accuracy": accuracy})


def pair_losses(chosen: Tensor, rejected: Tensor, pairs: Sequence[TokenPair]) -> Tensor:
    """(B,) losses of the pairs with these rewards: Bradley-Terry, with a pair's own margin and label smoothing."""
    if not any(pair.margin or pair.label_smoothing for pair in pairs):
        return bradley_terry_loss(chosen, rejected)
    margin = torch.tensor([pair.margin for pair in pairs], dtype=chosen.dtype, device=chosen.device)
    alpha = torch.tensor([pair.label_smoothing for pair in pairs], dtype=chosen.dtype, device=chosen.device)
    as_labeled = adaptive_margin_loss(chosen, rejected, margin)
    return label_smoothing_loss(as_labeled, adaptive_margin_loss(rejected, chosen, -margin), alpha)


def _scores(model: Any, pairs: Sequence[TokenPair], pad: int, microbatch: int) -> tuple[Tensor, Tensor]:
    """(B,) scores of the chosen and of the rejected responses; a prompt is computed once for both."""
    chosen, rejected = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    return pair_scores(model, chosen, rejected, pad, max(1, microbatch // 2))


def _calibrate(
    settings: RewardSettings, processes: Processes, model: Any, held: Sequence[TokenPair], pad: int, out: Path
) -> dict[str, float]:
    """Writes reward.json and returns the metrics on the held-out pairs."""
    mine, weights = processes.share(held)
    with torch.no_grad():
        chosen, rejected = processes.run(model, _scores, mine, pad, settings.microbatch)
    if processes.size > 1:
        real = slice(int(sum(weights)))
        parts = processes.gather((chosen[real].cpu(), rejected[real].cpu()))
        chosen, rejected = (torch.cat([part[which] for part in parts]) for which in (0, 1))
    scores = torch.cat([chosen, rejected]).double()
    mean, std = float(scores.mean()), max(1e-8, float(scores.std(unbiased=False)))
    if processes.main:
        RewardInfo(eos=settings.eos, mean=mean, std=std).write(out)
    return {
        "heldout_pairs": float(len(held)),
        "heldout_accuracy": float(preference_accuracy(chosen, rejected)),
        "heldout_loss": float(bradley_terry_loss(chosen, rejected).mean()),
        "sft_mean": mean,
        "sft_std": std,
    }


def _artifacts(given: Artifact | Sequence[Artifact]) -> list[Artifact]:
    """The preferences artifacts as a list; held-out pairs come from the first.

    Raises:
        DataError: there is none.
    """
    artifacts = [given] if isinstance(given, Artifact) else list(given)
    if not artifacts:
        raise DataError("reward: no preferences were given; expected at least one artifact of that kind")
    return artifacts
