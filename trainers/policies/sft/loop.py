"""The training loop of supervised fine-tuning."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import Artifact, Context, DataError, Prompting, write_jsonl

from ...data.encoding import SPECIAL_TEXTS, encode_prompts
from ...data.row_accounting import RowAccount
from ...data.seeding import epoch_batches
from ...data.tokenize import count_special_texts, encode_text, right_pad
from ...modeling.checkpoints import load_policy, save_model
from ...modeling.forward import response_logprobs
from ...training.checkpointing import load_checkpoint, save_checkpoint
from ...training.distributed import Processes
from ...training.optimizer import Optimizer
from .config import SFTSettings

Rows = list[tuple[list[int], list[int]]]
"""(prompt, response with EOS) of each demonstration, as token ids."""


def train(
    settings: SFTSettings, inputs: Mapping[str, Artifact], out: Path, context: Context
) -> Mapping[str, float]:
    """Trains and writes the policy and log.jsonl (loss, learning rate, gradient norm of every update).

    Returns:
        The stage's metrics.
    """
    processes = Processes(context.process_group, context.training, context.device)
    model, tokenizer = load_policy(inputs["init"].path, context.device)
    model = processes.prepare(model, seed=context.seed)
    rows, account = encode_demonstrations(settings, inputs["demonstrations"], tokenizer, context.prompting)
    batches = epoch_batches(len(rows), settings.batch, settings.epochs, context.seed)
    optimizer = Optimizer(
        model.parameters(),
        total_steps=len(batches),
        peak=settings.learning_rate,
        warmup=settings.warmup,
        schedule=settings.schedule,
        max_grad_norm=settings.max_grad_norm,
    )
    modules = {"policy": model}
    done, state = load_checkpoint(context.scratch, modules, optimizer, processes)
    log: list[dict[str, float]] = state.get("log", [])
    for step in range(done, len(batches)):
        batch = [rows[index] for index in batches[step]]
        loss = backward(settings, processes, model, batch, tokenizer.pad_token_id)
        processes.sum_gradients(optimizer.parameters)
        update = optimizer.update(step, "sft")
        log.append({"step": step, "loss": loss, **asdict(update)})
        context.meter.count(tokens_trained=sum(len(p) + len(r) for p, r in batch))
        context.progress(step + 1, len(batches), f"loss {loss:.3f}")
        if (step + 1) % settings.checkpoint_every == 0:
            save_checkpoint(context.scratch, step + 1, modules, optimizer, {"log": log}, processes)
    weights = processes.whole(model)
    if processes.main:
        save_model(model, tokenizer, out, weights)
        write_jsonl(out / "log.jsonl", log)
    last = [row["loss"] for row in log[-max(1, len(log) // 10) :]]
    return {**account.close(len(rows)), "updates": float(len(log)), "train_loss": sum(last) / len(last)}


def encode_demonstrations(
    settings: SFTSettings, demonstrations: Artifact, tokenizer: Any, prompting: Prompting
) -> tuple[Rows, RowAccount]:
    """Token rows of every demonstration that fits, and the row account."""
    given = demonstrations.rows()
    account = RowAccount(len(given))
    rows = []
    truncated = 0
    for row, prompt in encode_prompts(given, tokenizer, prompting, account):
        response = encode_text(tokenizer, row["response"])
        if len(response) + 1 > prompting.max_response_tokens:
            if settings.over_length == "drop":
                account.drop("response_too_long")
                continue
            response = response[: prompting.max_response_tokens - 1]
            truncated += 1
        account.count(SPECIAL_TEXTS, count_special_texts(tokenizer, row["response"]))
        rows.append((prompt, [*response, tokenizer.eos_token_id]))
    if not rows:
        raise DataError(
            f"sft: none of {len(given)} demonstrations in {demonstrations.path} is usable {account.drops}; "
            "expected rows that fit prompting.max_prompt_tokens and max_response_tokens; raise them"
        )
    account.note("truncated", truncated)
    return rows, account


def backward(settings: SFTSettings, processes: Processes, model: Any, batch: Rows, pad: int) -> float:
    """Accumulates the gradient of this process's part of the batch's mean token loss; returns it, nats per token."""
    tokens = sum(len(response) for _, response in batch)
    total = 0.0
    for chunk, weight in processes.parts([len(p) + len(r) for p, r in batch], settings.microbatch):
        loss = processes.run(model, response_loss, [batch[index] for index in chunk], pad) / tokens
        loss = loss if weight else 0 * loss
        processes.backward(loss)
        total += float(loss.detach())
    return processes.sums({"loss": total})["loss"]


def response_loss(model: Any, batch: Rows, pad: int) -> Tensor:
    """Summed negative log-probability (nats) of the responses of (prompt, response) token rows. Scalar."""
    ids, mask = right_pad([prompt + response for prompt, response in batch], pad)
    starts = torch.tensor([len(prompt) for prompt, _ in batch])
    response_mask = mask & (torch.arange(ids.shape[1]) >= starts[:, None])
    device = model.device
    return -response_logprobs(model, ids.to(device), mask.to(device), response_mask.to(device)).sum()
