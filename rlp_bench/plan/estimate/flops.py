"""Floating-point operations of a stage: 2 a parameter and token forward, 4 back, and attention over the context.

Source: Kaplan et al. 2020 (arXiv:2001.08361), section 2.1; attention as in Chowdhery et al. 2022 (arXiv:2204.02311),
appendix B: the whole square of a row's L tokens, 12 layers q L a trained token. Departs: the output matrix counts only
where logits are computed (at response tokens), the embedding never.
"""

from dataclasses import dataclass

from rlp_bench.plan.estimate.memory import Setup
from rlp_bench.plan.estimate.shapes import Shape
from rlp_bench.plan.estimate.workload import Pass, Work


@dataclass(frozen=True)
class Amount:
    """What a stage computes on all devices together."""

    trained: float = 0.0
    """Tokens, forward and back."""
    read: float = 0.0
    """Tokens, forward only."""
    written: float = 0.0
    """Tokens, sampled."""
    flops: float = 0.0


def stage_amount(work: Work, shape: Shape, setup: Setup) -> Amount:
    """Tokens and FLOPs of a whole stage; a token that several models read counts for each."""
    tokens = {"train": 0.0, "read": 0.0, "write": 0.0}
    total = 0.0
    for one in work.passes:
        tokens[one.does] += one.rows * (one.response if one.does == "write" else one.tokens * len(one.models))
        total += pass_flops(one, work, shape, setup)
    return Amount(tokens["train"], tokens["read"], tokens["write"], total)


def pass_flops(one: Pass, work: Work, shape: Shape, setup: Setup) -> float:
    """FLOPs of one pass over all its rows."""
    return one.rows * sum(_row(one, work.models[name].head, shape, setup) for name in one.models)


def _row(one: Pass, head: str, shape: Shape, setup: Setup) -> float:
    layers = forward_layers(shape, one.tokens)
    output = 2 * shape.d * shape.vocabulary * one.response if one.logits and head == "lm" else 0.0
    if one.does == "read":
        return layers + output
    if one.does == "write":
        return write_layers(shape, one) + 2 * shape.d * shape.vocabulary * one.response
    # Computing again stops where all that is needed is there: before a layer's last product.
    again = layers - 2 * shape.f * shape.d * shape.layers * one.tokens if setup.checkpointing else 0.0
    if (
        setup.lora_rank
    ):  # no gradient of what is frozen: the way back costs what the way there does, attention twice
        adapters = 6 * shape.adapters(setup.lora_rank, setup.lora_targets) * one.tokens
        return 2 * (layers + output) + attention(shape, one.tokens**2) + adapters + again
    return 3 * (layers + output) + again


def forward_layers(shape: Shape, tokens: float) -> float:
    """One row of so many tokens through all layers."""
    return 2 * shape.matrices * tokens + attention(shape, tokens**2)


def write_layers(shape: Shape, one: Pass) -> float:
    """A row's prompt at once and then its response token by token, each with all tokens before it."""
    steps = one.response * one.prompt + one.response**2 / 2
    return 2 * shape.matrices * one.tokens + attention(shape, one.prompt**2 + steps)


def attention(shape: Shape, pairs: float) -> float:
    """Scores of so many pairs of tokens and what they mix, in all layers."""
    return 4 * shape.q * pairs * shape.layers
