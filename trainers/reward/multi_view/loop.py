"""The training loop of RLP-UML's reward model: preference loss plus a multi-view objective on a policy's samples."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from rlp_bench.api import Context

from ...data.seeding import derived_seed
from ...equations.bottleneck_schedule import exponential_weight
from ...training.distributed import Processes
from ..loop import train as train_reward
from .auxiliary import PolicyViews
from .config import MultiViewSettings
from .heads import Critic, Encoder, FeatureQueue, Prototypes
from .objectives import InfoMax, MultiViewBottleneck, SwappedPrediction
from .views import read_views


def train(
    settings: MultiViewSettings, inputs: Mapping[str, Any], out: Path, context: Context
) -> Mapping[str, float]:
    """Trains as `reward` does, with the gradient of λ L_M on the samples added in every update."""
    return train_reward(settings, inputs, out, context, partial(policy_views, settings))


def policy_views(
    settings: MultiViewSettings, model: Any, tokenizer: Any, inputs: Mapping[str, Any], updates: int, seed: int,
    context: Context, processes: Processes,
) -> PolicyViews:  # fmt: skip
    """The auxiliary objective λ L_M on the samples."""
    prompts, held, account = read_views(
        inputs["samples"], tokenizer, context.prompting, settings.eos, settings.heldout_prompts
    )
    return PolicyViews(
        model,
        build_objective(settings, model.config.hidden_size, updates, seed),
        prompts,
        held,
        batch=settings.batch,
        updates=updates,
        microbatch=settings.microbatch,
        weight=settings.weight,
        learning_rate=settings.head_learning_rate,
        ratio_every=settings.ratio_every,
        pad_id=tokenizer.pad_token_id,
        seed=seed,
        meter=context.meter,
        account=account,
        processes=processes,
    )


def build_objective(settings: MultiViewSettings, hidden_size: int, updates: int, seed: int) -> Module:
    """The objective with new heads, initialized with a separate seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "uml_heads"))
        if settings.objective == "cl":
            heads = Prototypes(hidden_size, settings.hidden, settings.prototypes)
            return SwappedPrediction(heads, FeatureQueue(settings.queue))
        encoder = Encoder(hidden_size, settings.hidden, settings.z_dim, settings.shared_trunk)
        if settings.objective == "infomax":
            return InfoMax(encoder, Critic(hidden_size, settings.z_dim, settings.hidden), settings.negatives)
        critic = Critic(settings.z_dim, settings.z_dim, settings.hidden)
        beta = partial(skl_weight, settings, updates)
        return MultiViewBottleneck(encoder, critic, settings.negatives, settings.skl, beta)


def skl_weight(settings: MultiViewSettings, updates: int, step: int) -> float:
    """β at update `step`."""
    if settings.objective == "mvi":
        return 0.0
    if settings.skl_schedule == "constant" or not settings.skl_weight:
        return settings.skl_weight
    start = updates // 3
    return exponential_weight(
        step, 1e-3 * settings.skl_weight, settings.skl_weight, start, max(1, updates - start)
    )
