"""The training loop of contrastive reward models: preference loss and contrastive loss on two dropout views."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import Module
from torch.nn.functional import cosine_similarity, dropout

from rlp_bench.api import BenchError, Context, Meter

from ...data.preference_pairs import TokenPair
from ...data.seeding import derived_seed
from ...equations.bradley_terry import preference_accuracy
from ...equations.simcse import simcse_loss
from ...modeling.dropout import dropout_on
from ...modeling.pair_scoring import pair_states
from ...training.distributed import Processes
from ..loop import pair_losses
from ..loop import train as train_reward
from ..multi_view.heads import FeatureQueue, Prototypes
from ..multi_view.objectives import SwappedPrediction
from .config import ContrastiveSettings

Views = list[tuple[Tensor, Tensor]]
"""(features of the chosen, of the rejected responses), (B, d) each, for both views."""
AVERAGED = ("contrastive_loss", "view_cosine", "prototypes_used")
"""Log entries that are also averaged as metrics, if the objective has them."""


def train(
    settings: ContrastiveSettings, inputs: Mapping[str, Any], out: Path, context: Context
) -> Mapping[str, float]:
    """Trains as `reward` does, with the gradient of the pairs and of the contrastive loss on two views."""
    return train_reward(settings, inputs, out, context, make_pairs=partial(contrastive_gradient, settings))


def contrastive_gradient(
    settings: ContrastiveSettings, model: Any, tokenizer: Any, inputs: Mapping[str, Any], updates: int, seed: int,
    context: Context, processes: Processes,
) -> "ContrastiveGradient":  # fmt: skip
    """The pair objective on two views of the batch."""
    module = new_heads(settings, model.config.hidden_size, seed).to(model.device)
    return ContrastiveGradient(
        settings, model, module, tokenizer.pad_token_id, seed, processes, context.meter
    )


def new_heads(settings: ContrastiveSettings, hidden_size: int, seed: int) -> Module:
    """SwAV's heads and queue, initialized with a separate seed; SimCSE has none."""
    if settings.objective.startswith("simcse"):
        return Module()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "contrastive_heads"))
        heads = Prototypes(hidden_size, settings.hidden, settings.prototypes)
        return SwappedPrediction(heads, FeatureQueue(settings.queue))


class ContrastiveGradient:
    """The gradient of L_rm + β L_cl on two dropout views of the batch."""

    def __init__(
        self, settings: ContrastiveSettings, model: Any, module: Module, pad_id: int, seed: int,
        processes: Processes, meter: Meter,
    ) -> None:  # fmt: skip
        self.settings, self.model, self.module = settings, model, module
        self.learning_rate = settings.head_learning_rate
        self.pad_id, self.seed, self.processes, self.meter = pad_id, seed, processes, meter

    def backward(self, step: int, batch: Sequence[TokenPair]) -> dict[str, float]:
        """Accumulates the gradient of the batch; dropout is off again afterwards."""
        with dropout_on(self.model, self.settings.dropout, derived_seed(self.seed, "dropout", step)):
            scores, views = self.processes.run(self.model, self._views, batch)
        losses = torch.stack([pair_losses(chosen, rejected, batch) for chosen, rejected in scores])
        kept = distinct(batch, self.settings.objective.endswith("differences"))
        first, second = (features(view, kept, self.settings.objective) for view in views)
        contrast, terms = self._contrast(first, second, step)
        self.processes.backward(losses.mean() + self.settings.weight * contrast)
        # The training loop counts every row once; these are the second views.
        self.meter.count(tokens_trained=sum(len(pair.chosen) + len(pair.rejected) for pair in batch))
        accuracies = [preference_accuracy(*each) for each in scores]
        return {
            "loss": float(losses.detach().mean()),
            "accuracy": float(sum(accuracies)) / len(accuracies),
            "contrastive_loss": float(contrast.detach()),
            "view_cosine": float(cosine_similarity(first.detach(), second.detach()).mean()),
            "contrast_duplicates": float(2 * len(batch) - len(first)),
            **terms,
        }

    def measure(self, log: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Means over the last tenth of the log, and how many features were left out as duplicates."""
        tail = log[-max(1, len(log) // 10) :]
        return {
            **{
                f"train_{name}": sum(row[name] for row in tail) / len(tail)
                for name in AVERAGED
                if name in tail[0]
            },
            "contrast_duplicates": sum(row["contrast_duplicates"] for row in log),
        }

    def _views(
        self, model: Any, batch: Sequence[TokenPair]
    ) -> tuple[tuple[tuple[Tensor, Tensor], ...], Views]:
        """Scores of (chosen, rejected) and their features, for both views."""
        chosen, rejected = [pair.chosen for pair in batch], [pair.rejected for pair in batch]
        pairs = max(1, self.settings.microbatch // 2)
        views = []
        for _ in range(2):
            states = pair_states(model, chosen, rejected, self.pad_id, pairs)
            won, lost = (dropout(state, self.settings.dropout) for state in states)
            views.append((won, lost))
        check_views(*(torch.cat(view) for view in views))
        scores = [[model.score(side).squeeze(-1) for side in view] for view in views]
        return tuple((won, lost) for won, lost in scores), views

    def _contrast(self, first: Tensor, second: Tensor, step: int) -> tuple[Tensor, dict[str, float]]:
        """The contrastive loss, and its log entries."""
        if self.settings.objective.startswith("simcse"):
            return simcse_loss(first, second, self.settings.temperature).mean(), {}
        loss, terms = self.module(first, second, step, Generator())
        return loss, {"prototypes_used": terms["prototypes_used"], "collapsed": terms["collapsed"]}


def check_views(first: Tensor, second: Tensor) -> None:
    """Raises BenchError if both views of every text are the same: dropout is off, and there is nothing to learn."""
    if torch.equal(first, second):
        raise BenchError(
            "reward_contrastive: both views of every text are equal; expected different ones, by dropout; raise dropout"
        )


def distinct(batch: Sequence[TokenPair], differences: bool) -> tuple[list[int], list[int]]:
    """Which chosen and which rejected responses of a batch are contrasted: of equal texts the first one.

    A text that is contrasted with its duplicate would be pushed away from itself.

    Args:
        differences: whether pairs are contrasted, in both orders, rather than responses; both lists are then the same.
    """
    if differences:
        pairs = [frozenset((tuple(pair.chosen), tuple(pair.rejected))) for pair in batch]
        kept = [place for place, pair in enumerate(pairs) if pair not in pairs[:place]]
        return kept, kept
    rows = [tuple(pair.chosen) for pair in batch] + [tuple(pair.rejected) for pair in batch]
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    places = sorted(first.values())
    n = len(batch)
    return [place for place in places if place < n], [place - n for place in places if place >= n]


def features(view: tuple[Tensor, Tensor], kept: tuple[list[int], list[int]], objective: str) -> Tensor:
    """(N', d) features H of one view, equations above 7: f(x, y_c) and f(x, y_r), or both differences of the two."""
    chosen, rejected = view[0][kept[0]], view[1][kept[1]]
    if objective.endswith("differences"):
        return torch.cat([chosen - rejected, rejected - chosen])
    return torch.cat([chosen, rejected])
