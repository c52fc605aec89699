"""The reward model: learns from preferences which of two responses is better."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rlp_bench.api import Artifact, Context, DataError, write_jsonl

from ..training.setting_types import Count, NotNegative, NotNegativeCount, Positive, Share
from .auxiliary import AuxiliaryObjective

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.preference_pairs import TokenPair
    from ..training.distributed import Processes


@dataclass(frozen=True)
class RewardModel:
    """Bradley-Terry on the policy's backbone with a fresh scalar head.

    The held-out pairs are chosen by content from the first preferences artifact, so a model retrained on more data is
    measured on the same pairs. Its mean and spread on those pairs' texts (samples of the SFT policy) are stored beside
    the weights: a reward means something only relative to them.

    Source: Dubois et al. 2023 (arXiv:2305.14387), AlpacaFarm's `reward_modeling.sh`. Departs: EOS is part of a finished
    response (`eos`); the last real token is found by length, not by padding.
    """

    name: ClassVar[str] = "reward"
    version: ClassVar[str] = "2"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "preferences": "preferences*"}
    output: ClassVar[str] = "reward"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "training")
    distributed: ClassVar[bool] = True

    epochs: Count = 1
    """Passes over the pairs. AlpacaFarm: 1."""
    batch: Count = 16
    """Pairs per update. AlpacaFarm: 16."""
    microbatch: Count = 32
    """Responses (two a pair) per forward pass, of like length; a memory and speed knob."""
    learning_rate: Positive = 3e-6
    """Peak rate. AlpacaFarm: 3e-6 for 7B parameters; the embedded world's 0.2 M need about 1e-3."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """What follows the warm-up. AlpacaFarm: cosine."""
    warmup: NotNegative = 0.03
    """Below 1 a share of all updates, from 1 a number of them. AlpacaFarm: .03."""
    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this norm. AlpacaFarm: 1."""
    heldout: Share = 0.05
    """Share of the first artifact's prompts kept for measuring. AlpacaFarm: 500 of 10 000."""
    eos: bool = True
    """Whether a finished response carries its EOS when it is scored, here and wherever this model is used."""
    match_steps: bool = False
    """As many updates as the first preferences artifact alone would give, however many pairs the others add: the
    budget of the model that it is compared with. Ours, a control; RLP says nothing."""
    redraw: NotNegativeCount = 0
    """Which draw of head and data order. RLP retrains r̂ on data that contains all of r_φ's: with draw 0 and nothing
    added it would be r_φ itself; retrained models here take draw 1, and so does the control `rm_retrain`."""
    checkpoint_every: Count = 200
    """Updates between checkpoints; changes no result."""

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the reward model, reward.json and log.jsonl (loss, accuracy, rate, gradient norm)."""
        from ..data.preference_pairs import split_pairs
        from ..data.seeding import derived_seed
        from ..modeling.checkpoints import new_reward, save_model
        from ..training.checkpointing import load_checkpoint, save_checkpoint
        from ..training.distributed import Processes
        from ..training.optimizer import Optimizer

        processes = Processes(context.process_group, context.training, context.device)
        seed = derived_seed(context.seed, "redraw", self.redraw) if self.redraw else context.seed
        model, tokenizer = new_reward(inputs["init"].path, derived_seed(seed, "head"), context.device)
        train, held, account = split_pairs(
            _artifacts(inputs["preferences"]), tokenizer, context.prompting, self.heldout, self.eos
        )
        model = processes.prepare(model, seed=seed)
        batches = self._batches(len(train), int(account.notes["pairs_of_first"]), seed)
        auxiliary = self._auxiliary(model, tokenizer, inputs, len(batches), seed, context, processes)
        optimizer = Optimizer(
            model.parameters(),
            total_steps=len(batches),
            peak=self.learning_rate,
            warmup=self.warmup,
            schedule=self.schedule,
            max_grad_norm=self.max_grad_norm,
            auxiliary=auxiliary.module.parameters() if auxiliary else (),
            auxiliary_peak=auxiliary.learning_rate if auxiliary else 0.0,
        )
        modules = {"reward": model, "beside": auxiliary.module} if auxiliary else {"reward": model}
        done, state = load_checkpoint(context.scratch, modules, optimizer, processes)
        log: list[dict[str, float]] = state.get("log", [])
        for step in range(done, len(batches)):
            batch = [train[index] for index in batches[step]]
            row = self._backward(processes, model, batch, tokenizer.pad_token_id)
            row |= auxiliary.backward(step) if auxiliary else {}
            processes.sum_gradients(optimizer.parameters)
            update = optimizer.update(step, "reward")
            log.append({"step": step, **row, **asdict(update)})
            context.meter.count(tokens_trained=sum(len(p.chosen) + len(p.rejected) for p in batch))
            context.progress(step + 1, len(batches), f"loss {row['loss']:.3f}")
            if (step + 1) % self.checkpoint_every == 0:
                save_checkpoint(context.scratch, step + 1, modules, optimizer, {"log": log}, processes)
        weights = processes.whole(model)
        if processes.main:
            save_model(model, tokenizer, out, weights)
            write_jsonl(out / "log.jsonl", log)
        tail = log[-max(1, len(log) // 10) :]
        return {
            **account.close(len(train) + len(held)),
            **self._calibrate(processes, model, held, tokenizer.pad_token_id, out),
            **(auxiliary.measure(log) if auxiliary else {}),
            "updates": float(len(log)),
            "pairs_trained": float(len(train)),
            "train_loss": sum(row["loss"] for row in tail) / len(tail),
            "train_accuracy": sum(row["accuracy"] for row in tail) / len(tail),
        }

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`; see rlp_bench/plan/estimate/workload.py."""
        pairs = given["rows"]["preferences"]
        held = self.heldout * pairs[0]
        rows = self.epochs * ((pairs[0] if self.match_steps else sum(pairs)) - held)
        # A pair is one row, prompt and both responses; all pairs of a batch are one graph.
        pair = {
            "models": ("reward",),
            "microbatch": max(1, self.microbatch // 2),
            "prompt": given["prompt"],
            "response": 2 * given["response"],
            "masked": True,
        }
        train = {"does": "train", "rows": rows, "batch": self.batch, "held": self.batch, **pair}
        return {
            "models": {"reward": {"head": "scalar", "trained": True}},
            "passes": (train, {"does": "read", "rows": held, **pair}),
            "updates": -(-int(rows) // self.batch),
        }

    def _auxiliary(
        self, model: Any, tokenizer: Any, inputs: Mapping[str, Any], updates: int, seed: int, context: Context,
        processes: "Processes",
    ) -> "AuxiliaryObjective | None":  # fmt: skip
        """What else each update learns from; nothing here."""
        return None

    def _batches(self, pairs: int, of_first: int, seed: int) -> list[list[int]]:
        """Indices of every update's pairs."""
        from ..data.seeding import endless_batches, epoch_batches

        if self.match_steps:
            updates = self.epochs * -(-of_first // self.batch)
            return endless_batches(pairs, min(self.batch, pairs), updates, seed)
        return epoch_batches(pairs, self.batch, self.epochs, seed)

    def _backward(
        self, processes: "Processes", model: Any, batch: "Sequence[TokenPair]", pad: int
    ) -> dict[str, float]:
        """Adds the gradient of this process's part of the batch's mean loss; returns loss (nats) and accuracy."""
        from ..equations.bradley_terry import bradley_terry_loss, preference_accuracy

        mine, weights = processes.share(batch)
        chosen, rejected = processes.run(model, self._scores, mine, pad)
        losses, part = bradley_terry_loss(chosen, rejected), sum(weights) / len(batch)
        real = slice(None) if all(weights) else slice(int(sum(weights)))
        loss = losses[real].mean() * part if part else 0 * losses.sum()
        processes.backward(loss)
        accuracy = (
            part * float(preference_accuracy(chosen.detach()[real], rejected.detach()[real])) if part else 0.0
        )
        return processes.sums({"loss": float(loss.detach()), "accuracy": accuracy})

    def _scores(self, model: Any, pairs: "Sequence[TokenPair]", pad: int) -> "tuple[Tensor, Tensor]":
        """(B,) scores of the chosen and of the rejected responses; a prompt is computed once for both."""
        from ..modeling.pair_scoring import pair_scores

        chosen, rejected = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
        return pair_scores(model, chosen, rejected, pad, max(1, self.microbatch // 2))

    def _calibrate(
        self, processes: "Processes", model: Any, held: "Sequence[TokenPair]", pad: int, out: Path
    ) -> dict[str, float]:
        """Measures the held-out pairs and writes reward.json."""
        import torch

        from ..equations.bradley_terry import bradley_terry_loss, preference_accuracy
        from ..modeling.checkpoints import RewardInfo

        mine, weights = processes.share(held)
        with torch.no_grad():
            chosen, rejected = processes.run(model, self._scores, mine, pad)
        if processes.size > 1:
            real = slice(int(sum(weights)))
            parts = processes.gather((chosen[real].cpu(), rejected[real].cpu()))
            chosen, rejected = (torch.cat([part[which] for part in parts]) for which in (0, 1))
        scores = torch.cat([chosen, rejected]).double()
        mean, std = float(scores.mean()), max(1e-8, float(scores.std(unbiased=False)))
        if processes.main:
            RewardInfo(eos=self.eos, mean=mean, std=std).write(out)
        return {
            "heldout_pairs": float(len(held)),
            "heldout_accuracy": float(preference_accuracy(chosen, rejected)),
            "heldout_loss": float(bradley_terry_loss(chosen, rejected).mean()),
            "sft_mean": mean,
            "sft_std": std,
        }


def _artifacts(given: Artifact | Sequence[Artifact]) -> list[Artifact]:
    """One or several preferences artifacts, as a list; the first one gives the held-out pairs."""
    artifacts = [given] if isinstance(given, Artifact) else list(given)
    if not artifacts:
        raise DataError("reward: no preferences were given; expected at least one artifact of that kind")
    return artifacts
