"""The unsupervised part of an RLP-UML update, and its metrics on held-out prompts."""

import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import Module

from rlp_bench.api import BenchError, Meter

from ...data.row_accounting import RowAccount
from ...data.seeding import derived_seed
from ...equations.rlp_reward_loss import rlp_reward_loss
from ...modeling.pair_scoring import pair_states, row_states
from ...training.distributed import Processes
from ...training.gradients import gradients, norm
from .views import PromptViews, distinct_batches, drawn_rows

DRAWS = 4
"""Number of draws of views per held-out prompt for the metrics."""

AVERAGED = (
    "uml_loss", "jsd", "mi_nats", "mi_infonce_nats", "mi_shuffled_nats", "skl", "mean_sigma", "mu_std",
    "feature_spread", "prototypes_used",
)  # fmt: skip
"""Log entries that are also averaged as metrics, if the objective has them."""


class PolicyViews:
    """λ L_M on two views of each prompt, in addition to a reward model's preference loss.

    Its random draws use separate seeds, so the reward model's draws are the same with and without it.

    Attributes:
        module: the objective with its heads.
        learning_rate: peak learning rate of the heads.
    """

    def __init__(
        self,
        model: Any,
        module: Module,
        prompts: Sequence[PromptViews],
        held: Sequence[PromptViews],
        *,
        batch: int,
        updates: int,
        microbatch: int,
        weight: float,
        learning_rate: float,
        ratio_every: int,
        pad_id: int,
        seed: int,
        meter: Meter,
        account: RowAccount,
        processes: Processes,
    ) -> None:
        if min(batch, len(prompts)) % processes.size:
            raise BenchError(
                f"reward_uml: batch is {batch} with {processes.size} processes; expected a multiple of the number of "
                "processes, because in-batch negatives are gathered from all; change batch or compute.workers"
            )
        self.processes = processes
        self.model, self.module, self.prompts, self.held = model, module.to(model.device), prompts, held
        self.batches = distinct_batches(len(prompts), batch, updates, derived_seed(seed, "uml"))
        self.account = account
        self.weight, self.learning_rate, self.ratio_every = weight, learning_rate, ratio_every
        self.microbatch, self.pad_id, self.seed, self.meter = microbatch, pad_id, seed, meter
        self.last_step, self.chunk = updates - 1, min(batch, len(held))

    def backward(self, step: int) -> dict[str, float]:
        """Accumulates the gradient of λ L_M; returns log entries, with the gradient ratio every `ratio_every` steps."""
        rows = drawn_rows([self.prompts[index] for index in self.batches[step]], self.seed, step)
        before = self._gradients() if step % self.ratio_every == 0 else []
        mine = self.processes.slice(len(rows[0]))
        shares = [view[mine.start : mine.stop] for view in rows]
        states = self.processes.run(
            self.model, pair_states, *shares, self.pad_id, max(1, self.microbatch // 2)
        )
        first, second = (self.processes.joined(view) for view in states)
        loss, terms = self.module(first, second, step, self._noise(step))
        self.meter.count(tokens_trained=sum(len(row) for view in rows for row in view))
        # The preference loss is 0 here: the reward loop has already accumulated its gradient.
        objective = rlp_reward_loss(0.0, loss, self.weight)
        # Every process computes the loss of the whole batch, and the backward pass of `joined` sums over processes.
        self.processes.backward(objective / self.processes.size)
        if before:
            added = [after - pairs for after, pairs in zip(self._gradients(), before, strict=True)]
            ours, theirs = (norm(each, self.processes) for each in (added, before))
            terms["gradient_ratio"] = ours / max(1e-12, theirs)
        return {"uml_loss": float(loss.detach()), **terms}

    def measure(self, log: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Means over the last tenth of the log, and the same terms and the spread of rewards on held-out prompts."""
        tail = log[-max(1, len(log) // 10) :]
        used = len(self.prompts) + len(self.held)
        ratios = [row["gradient_ratio"] for row in log if "gradient_ratio" in row]
        return {
            **{f"train_{name}": _mean([row[name] for row in tail]) for name in AVERAGED if name in tail[0]},
            "collapsed": _mean([row["collapsed"] for row in tail]),
            "gradient_ratio": statistics.median(ratios),
            "heldout_prompts": float(len(self.held)),
            **{f"samples_{name}": value for name, value in self.account.close(used).items()},
            **self._measure_held(),
        }

    @torch.no_grad()
    def _measure_held(self) -> dict[str, float]:
        """Metrics on the held-out prompts: one forward pass per response, then several draws of views."""
        rows = [row for prompt in self.held for row in prompt.rows]
        states, rewards = self.processes.run(self.model, self._held_states, rows)
        sizes = [len(prompt.rows) for prompt in self.held]
        rewards = rewards.double().split(sizes)
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        found = []
        self.module.eval()
        for draw in range(DRAWS):
            chance, noise = (
                random.Random(derived_seed(self.seed, "measure", draw)),
                self._noise("measure", draw),
            )
            places = [prompt.draw(chance) for prompt in self.held]
            first = [start + one for start, (one, _) in zip(starts, places, strict=True)]
            second = [start + other for start, (_, other) in zip(starts, places, strict=True)]
            for at in range(0, len(self.held) - self.chunk + 1, self.chunk):
                part = slice(at, at + self.chunk)
                loss, terms = self.module(states[first[part]], states[second[part]], self.last_step, noise)
                found.append({"uml_loss": float(loss), **terms})
        self.module.train()
        return {
            **{
                f"heldout_{name}": _mean([row[name] for row in found])
                for name in AVERAGED
                if name in found[0]
            },
            "within_prompt_std": _mean([float(each.std(unbiased=False)) for each in rewards]),
            "between_prompt_std": float(torch.stack([each.mean() for each in rewards]).std(unbiased=False)),
        }

    def _held_states(self, model: Any, rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        states = row_states(model, rows, self.pad_id, self.microbatch)
        return states, model.score(states).squeeze(-1)

    def _noise(self, *what: object) -> Generator:
        return Generator().manual_seed(derived_seed(self.seed, "noise", *what))

    def _gradients(self) -> list[Tensor]:
        """A copy of the backbone's gradient."""
        return gradients(self.model.base_model.parameters(), self.processes)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
