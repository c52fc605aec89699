"""Supervised fine-tuning: the policy learns to write the demonstrated responses, and to stop."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rlp_bench.api import Artifact, Context, DataError, Prompting, write_jsonl

from ..training.setting_types import Count, NotNegative, Positive

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.row_accounting import RowAccount
    from ..training.distributed import Processes


@dataclass(frozen=True)
class SupervisedFineTuning:
    """Cross-entropy on response and EOS, averaged over all target tokens of the batch.

    Source: Dubois et al. 2023 (arXiv:2305.14387), AlpacaFarm's `sft.sh`. Departs: their loss is a mean per
    micro-batch, ours one per batch (short responses weigh less); their right truncation may cut EOS, ours never does.
    """

    name: ClassVar[str] = "sft"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "demonstrations": "demonstrations"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    distributed: ClassVar[bool] = True

    epochs: Count = 3
    """Passes over the demonstrations. AlpacaFarm: 3."""
    batch: Count = 128
    """Demonstrations per update. AlpacaFarm: 128."""
    microbatch: Count = 32
    """Rows per forward pass; a memory and speed knob, gradients are those of the whole batch."""
    learning_rate: Positive = 2e-5
    """Peak rate. AlpacaFarm: 2e-5 for 7B parameters; the embedded world's 0.2 M need about 1e-3."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """What follows the warm-up. AlpacaFarm: cosine."""
    warmup: NotNegative = 0.03
    """Below 1 a share of all updates, from 1 a number of them. AlpacaFarm: .03."""
    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this norm. AlpacaFarm: 1."""
    over_length: Literal["drop", "truncate"] = "drop"
    """Demonstrations longer than prompting.max_response_tokens: left out, or cut with EOS kept. Both are counted."""
    checkpoint_every: Count = 200
    """Updates between checkpoints; changes no result."""

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the fine-tuned policy and log.jsonl (loss, rate, gradient norm of every update)."""
        from ..data.seeding import epoch_batches
        from ..modeling.checkpoints import load_policy, save_model
        from ..training.checkpointing import load_checkpoint, save_checkpoint
        from ..training.distributed import Processes
        from ..training.optimizer import Optimizer

        processes = Processes(context.process_group, context.training, context.device)
        model, tokenizer = load_policy(inputs["init"].path, context.device)
        model = processes.prepare(model, seed=context.seed)
        rows, account = self._rows(inputs["demonstrations"], tokenizer, context.prompting)
        batches = epoch_batches(len(rows), self.batch, self.epochs, context.seed)
        optimizer = Optimizer(
            model.parameters(),
            total_steps=len(batches),
            peak=self.learning_rate,
            warmup=self.warmup,
            schedule=self.schedule,
            max_grad_norm=self.max_grad_norm,
        )
        modules = {"policy": model}
        done, state = load_checkpoint(context.scratch, modules, optimizer, processes)
        log: list[dict[str, float]] = state.get("log", [])
        for step in range(done, len(batches)):
            batch = [rows[index] for index in batches[step]]
            loss = self._backward(processes, model, batch, tokenizer.pad_token_id)
            processes.sum_gradients(optimizer.parameters)
            update = optimizer.update(step, "sft")
            log.append({"step": step, "loss": loss, **asdict(update)})
            context.meter.count(tokens_trained=sum(len(p) + len(r) for p, r in batch))
            context.progress(step + 1, len(batches), f"loss {loss:.3f}")
            if (step + 1) % self.checkpoint_every == 0:
                save_checkpoint(context.scratch, step + 1, modules, optimizer, {"log": log}, processes)
        weights = processes.whole(model)
        if processes.main:
            save_model(model, tokenizer, out, weights)
            write_jsonl(out / "log.jsonl", log)
        last = [row["loss"] for row in log[-max(1, len(log) // 10) :]]
        return {**account.close(len(rows)), "updates": float(len(log)), "train_loss": sum(last) / len(last)}

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        [rows] = given["rows"]["demonstrations"]
        train = {
            "does": "train",
            "models": ("policy",),
            "rows": rows * self.epochs,
            "batch": self.batch,
            "microbatch": self.microbatch,
            "prompt": given["prompt"],
            "response": given["response"],
            "logits": True,
        }
        updates = self.epochs * -(-int(rows) // self.batch)
        return {"models": {"policy": {"trained": True}}, "passes": (train,), "updates": updates}

    def _rows(
        self, demonstrations: Artifact, tokenizer: Any, prompting: Prompting
    ) -> "tuple[list[tuple[list[int], list[int]]], RowAccount]":
        """(prompt, response with EOS) of every demonstration that fits."""
        from ..data.encoding import encode_prompts
        from ..data.row_accounting import RowAccount

        given = demonstrations.rows()
        account = RowAccount(len(given))
        rows = []
        truncated = 0
        for row, prompt in encode_prompts(given, tokenizer, prompting, account):
            response = tokenizer.encode(row["response"], add_special_tokens=False)
            if len(response) + 1 > prompting.max_response_tokens:
                if self.over_length == "drop":
                    account.drop("response_too_long")
                    continue
                response = response[: prompting.max_response_tokens - 1]
                truncated += 1
            rows.append((prompt, [*response, tokenizer.eos_token_id]))
        if not rows:
            raise DataError(
                f"sft: none of {len(given)} demonstrations in {demonstrations.path} is usable {account.drops}; "
                "expected rows that fit prompting.max_prompt_tokens and max_response_tokens"
            )
        account.note("truncated", truncated)
        return rows, account

    def _backward(
        self, processes: "Processes", model: Any, batch: list[tuple[list[int], list[int]]], pad: int
    ) -> float:
        """Adds the gradient of this process's part of the batch's mean token loss; returns that loss, nats a token."""
        tokens = sum(len(response) for _, response in batch)
        total = 0.0
        for chunk, weight in processes.parts([len(p) + len(r) for p, r in batch], self.microbatch):
            loss = processes.run(model, response_loss, [batch[index] for index in chunk], pad) / tokens
            loss = loss if weight else 0 * loss
            processes.backward(loss)
            total += float(loss.detach())
        return processes.sums({"loss": total})["loss"]


def response_loss(model: Any, batch: list[tuple[list[int], list[int]]], pad: int) -> "Tensor":
    """Summed negative log-probability (nats) of the responses of (prompt, response) token rows. Scalar."""
    import torch

    from ..data.tokenize import right_pad
    from ..modeling.forward import response_logprobs

    ids, mask = right_pad([prompt + response for prompt, response in batch], pad)
    starts = torch.tensor([len(prompt) for prompt, _ in batch])
    response_mask = mask & (torch.arange(ids.shape[1]) >= starts[:, None])
    device = model.device
    return -response_logprobs(model, ids.to(device), mask.to(device), response_mask.to(device)).sum()
