"""FLOPs of a stage: per parameter and token 2 in the forward and 4 in the backward pass, plus attention.

Source: Kaplan et al. 2020 (arXiv:2001.08361), section 2.1; attention as in Chowdhery et al. 2022 (arXiv:2204.02311),
appendix B: the full square of a row's L tokens, 12 layers q L per trained token. Departs: the output matrix counts only
where logits are computed (at response tokens), the embedding never.
"""

from dataclasses import dataclass

from rlp_bench.plan.estimate.memory import Setup
from rlp_bench.plan.estimate.shapes import Shape
from rlp_bench.plan.estimate.workload import Pass, Work


@dataclass(frozen=True)
class Amount:
    """Tokens and FLOPs of a stage, summed over all devices."""

    trained: float = 0.0
    """Tokens in forward and backward passes."""
    read: float = 0.0
    """Tokens in forward passes only."""
    written: float = 0.0
    """Sampled tokens."""
    flops: float = 0.0


def stage_amount(work: Work, shape: Shape, setup: Setup) -> Amount:
    """Tokens and FLOPs of a whole stage; a token read by several models counts once for each."""
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
    # Recomputation stops before a layer's last product, whose result is not needed.
    again = layers - 2 * shape.f * shape.d * shape.layers * one.tokens if setup.checkpointing else 0.0
    if (
        setup.lora_rank
    ):  # no weight gradients of frozen matrices: backward costs as much as forward, attention twice
        adapters = 6 * shape.adapters(setup.lora_rank, setup.lora_targets) * one.tokens
        return 2 * (layers + output) + attention(shape, one.tokens**2) + adapters + again
    return 3 * (layers + output) + again


def forward_layers(shape: Shape, tokens: float) -> float:
    """Forward FLOPs of one row of `tokens` tokens in all layers."""
    return 2 * shape.matrices * tokens + attention(shape, tokens**2)


def write_layers(shape: Shape, one: Pass) -> float:
    """FLOPs of sampling one row in all layers: the prompt at once, then each response token with its context."""
    steps = one.response * one.prompt + one.response**2 / 2
    return 2 * shape.matrices * one.tokens + attention(shape, one.prompt**2 + steps)


def attention(shape: Shape, pairs: float) -> float:
    """FLOPs of attention scores and weighted sums for `pairs` pairs of tokens, in all layers."""
    return 4 * shape.q * pairs * shape.layers
