"""The training loop of MetaRM: an inner step of ascent on the difference objective before the pairs' gradient.

The step is made in place: θ is kept, every parameter becomes θ', the pairs' gradient accumulates there, and θ is copied
back. Every operation is local to a shard, so that sharded models and adapters need nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from rlp_bench.api import BenchError, Context

from ...data.preference_pairs import TokenPair
from ...data.row_accounting import RowAccount
from ...data.seeding import derived_seed, endless_batches
from ...equations.difference_objective import difference_objective, normalized_difference
from ...equations.learning_rate import learning_rate
from ...modeling.pair_scoring import row_scores
from ...training.checkpointing import local
from ...training.distributed import Processes
from ...training.gradients import dot, gradients, norm
from ..loop import pair_backward
from ..loop import train as train_reward
from .config import MetaSettings
from .samples import Rows, drawn_responses, read_meta_set

AVERAGED = ("difference", "inner_step", "inner_grad_norm", "gradient_cosine")
"""Log entries that are also averaged as metrics."""


def train(
    settings: MetaSettings, inputs: Mapping[str, Any], out: Path, context: Context
) -> Mapping[str, float]:
    """Trains as `reward` does, with the gradient of the pairs taken after an inner step on the samples."""
    return train_reward(settings, inputs, out, context, make_pairs=partial(meta_gradient, settings))


def meta_gradient(
    settings: MetaSettings, model: Any, tokenizer: Any, inputs: Mapping[str, Any], updates: int, seed: int,
    context: Context, processes: Processes,
) -> "MetaGradient":  # fmt: skip
    """The pair objective on the samples."""
    prompts, held, account = read_meta_set(
        inputs["samples"], tokenizer, context.prompting, settings.eos, settings.k, settings.heldout_prompts
    )
    return MetaGradient(
        settings, model, prompts, held, account, updates, tokenizer.pad_token_id, seed, context, processes
    )


class MetaGradient:
    """The gradient of the pairs' loss at θ' = θ + η ∇J(θ). It has no heads."""

    def __init__(
        self, settings: MetaSettings, model: Any, prompts: Sequence[Rows], held: Sequence[Rows], account: RowAccount,
        updates: int, pad_id: int, seed: int, context: Context, processes: Processes,
    ) -> None:  # fmt: skip
        self.module, self.learning_rate = Module(), 0.0
        self.settings, self.model, self.prompts, self.held = settings, model, prompts, held
        self.account, self.updates, self.pad_id, self.seed = account, updates, pad_id, seed
        self.meter, self.processes = context.meter, processes
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        check_precision(self.parameters)
        batch = min(settings.prompts, len(prompts))
        self.batches = endless_batches(len(prompts), batch, updates, derived_seed(seed, "meta"))

    def backward(self, step: int, batch: Sequence[TokenPair]) -> dict[str, float]:
        """Accumulates the gradient at θ'; the parameters are θ again afterwards."""
        # 1. The gradient of J at θ, on k responses to each of m prompts.
        objective = self._ascent_gradient(step)
        uphill = gradients(self.parameters, self.processes)
        length = norm(uphill, self.processes)
        clip = min(1.0, self.settings.max_grad_norm / max(length, 1e-12))
        eta = self._eta(step, length * clip)
        # 2. θ' = θ + η ∇J; the gradient of the pairs' loss there.
        with ahead(self.parameters, uphill, eta * clip):
            settings, processes = self.settings, self.processes
            row = pair_backward(settings, processes, self.model, batch, self.pad_id)
        # 3. θ is back; the optimizer applies that gradient to it.
        downhill = gradients(self.parameters, self.processes)
        return {
            **row,
            "difference": float(normalized_difference(torch.tensor(objective), self.settings.k)),
            "eta": eta,
            "inner_step": eta * length * clip / max(1e-12, self._size()),
            "inner_grad_norm": length,
            "gradient_cosine": self._cosine(uphill, downhill, length),
        }

    def measure(self, log: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Means over the last tenth of the log, and the differences on the held-out prompts."""
        tail = log[-max(1, len(log) // 10) :]
        scores = self._scores(drawn_responses(self.held, self.settings.k, self.seed, "measure"))
        objective = float(difference_objective(scores).mean())
        used = len(self.prompts) + len(self.held)
        return {
            **{f"train_{name}": sum(row[name] for row in tail) / len(tail) for name in AVERAGED},
            "heldout_prompts": float(len(self.held)),
            "heldout_difference": float(normalized_difference(torch.tensor(objective), self.settings.k)),
            "within_prompt_std": float(scores.double().std(1, unbiased=False).mean()),
            **{f"samples_{name}": value for name, value in self.account.close(used).items()},
        }

    def _ascent_gradient(self, step: int) -> float:
        """Accumulates the gradient of this process's part of the mean J; returns the mean J of all."""
        batch = [self.prompts[index] for index in self.batches[step]]
        places, weights = self.processes.share(list(range(len(batch))))
        drawn = drawn_responses(batch, self.settings.k, self.seed, step)
        k = self.settings.k
        mine = [row for place in places for row in drawn[place * k : (place + 1) * k]]
        scores = self.processes.run(self.model, row_scores, mine, self.pad_id, self.settings.microbatch)
        objective = difference_objective(scores.view(-1, k))
        part = (objective * torch.tensor(weights, device=objective.device)).sum() / len(batch)
        self.processes.backward(part)
        self.meter.count(tokens_trained=sum(map(len, drawn)))
        return self.processes.sums({"objective": float(part.detach())})["objective"]

    @torch.no_grad()
    def _scores(self, rows: Rows) -> Tensor:
        scores: Tensor = self.processes.run(
            self.model, row_scores, rows, self.pad_id, self.settings.microbatch
        )
        return scores.view(-1, self.settings.k)

    def _eta(self, step: int, length: float) -> float:
        """η of an update; `length` is that of the (clipped) gradient of J."""
        settings = self.settings
        if settings.eta is not None:
            return settings.eta
        rate = learning_rate(step, self.updates, settings.learning_rate, settings.warmup, settings.schedule)
        adams = rate * sum(p.numel() for p in self.parameters) ** 0.5
        return adams / length if length else 0.0

    def _size(self) -> float:
        """‖θ‖ over the trained parameters."""
        return norm([local(p.detach()) for p in self.parameters], self.processes)

    def _cosine(self, uphill: Sequence[Tensor], downhill: Sequence[Tensor], length: float) -> float:
        """The cosine of ∇J(θ) and ∇L(θ'): the sign of the term that eq. 17 adds to the loss."""
        product = length * norm(downhill, self.processes)
        return dot(uphill, downhill, self.processes) / product if product else 0.0


@contextmanager
def ahead(parameters: Sequence[Parameter], direction: Sequence[Tensor], eta: float) -> Iterator[None]:
    """Within the context the parameters are moved by η times the direction; no gradient is accumulated before.

    They are exactly what they were afterwards: a step is not subtracted again, which would round.
    """
    kept = [local(p.detach()).clone() for p in parameters]
    with torch.no_grad():
        for parameter, step in zip(parameters, direction, strict=True):
            local(parameter.data).add_(step, alpha=eta)
            parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                local(parameter.data).copy_(value)


def check_precision(parameters: Sequence[Parameter]) -> None:
    """Raises BenchError if a parameter is not in fp32: an inner step of usual length would be rounded away."""
    low = {str(p.dtype) for p in parameters if p.dtype != torch.float32}
    if low:
        raise BenchError(
            f"reward_meta: trained parameters in {', '.join(sorted(low))}; expected float32 master weights, because an "
            "inner step in lower precision is rounded away; load the model in fp32"
        )
