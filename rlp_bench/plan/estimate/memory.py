"""Bytes that one device holds at the worst moment of a stage.

Weights: fp32 masters of what learns; under bf16 a bf16 copy of each while a graph holds it, or under FSDP of the layers
that are together; frozen models in the training precision. Gradients and Adam's two moments are fp32. Activations: the
tensors that autograd keeps, counted one by one for a Llama layer with fused attention, as Korthikanti et al. 2022
(arXiv:2205.05198), equation 2 does for GPT. Departs: no dropout masks and no scores of attention; a gated MLP; RMS norm
as transformers writes it. Letters, a token and layer: d hidden, f intermediate, q and k widths of queries and of keys,
h heads.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from rlp_bench.plan.estimate.shapes import Shape
from rlp_bench.plan.estimate.workload import Model, Pass, Work

FP32, BF16 = 4, 2
TOGETHER = 2
"""Layers whose weights are together at a time under FSDP: the one that computes and the one that is fetched ahead."""
LOGITS_ALIVE = 3
"""fp32 tables of logits at a loss: the logits themselves, divided by the temperature, and their log-softmax; on the way
back the log-softmax, its gradient and that of the logits."""
CHOICE_ALIVE = 5
"""Such tables while a token is drawn: see `choose` in trainers/generation/seeded_sampling.py."""
ENGINE_SLOTS, ENGINE_CACHE_TOKENS = 128, 32768
"""Rows decoded side by side, and tokens in its cache, of the engine "transformers"."""
SCORING_ROWS = 64
"""Rows that it scores at a time."""
VLLM_SLOTS = 256
"""Rows decoded side by side by the engine "vllm"."""
VLLM_SHARE, VLLM_SAMPLER_SHARE = 0.6, 0.3
"""Of a device's memory that vLLM takes, as the engine and beside a model that is being trained."""


@dataclass(frozen=True)
class Setup:
    """How a stage is computed."""

    precision: Literal["fp32", "bf16"] = "fp32"
    strategy: Literal["one", "ddp", "fsdp"] = "one"
    devices: int = 1
    checkpointing: bool = False
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = ()
    cpu: bool = True
    engine: str = "transformers"
    """Who samples in stages that do not train."""
    sampler: str = "transformers"
    """Who samples from a model that is being trained."""
    memory: float = math.inf
    """Bytes of the device, of which vLLM takes a share."""

    @property
    def sharded(self) -> bool:
        return self.strategy == "fsdp" and self.devices > 1

    def lean(self, shape: Shape) -> bool:
        """Whether this project's own forward pass of a Llama is used: fp32 on a CPU, whole, nothing recomputed."""
        plain = (
            self.precision == "fp32" and not self.checkpointing and not self.sharded and not self.lora_rank
        )
        return self.cpu and plain and shape.is_llama


@dataclass(frozen=True)
class Memory:
    """Bytes a device by what they are for, at the moment when the sum is largest."""

    weights: float = 0.0
    """Masters, copies in bf16, frozen models, what FSDP has gathered, copies for decoding."""
    gradients: float = 0.0
    moments: float = 0.0
    activations: float = 0.0
    """With logits."""
    cache: float = 0.0
    """Keys and values while sampling."""
    moment: str = ""
    """Which pass it is."""

    @property
    def optimizer(self) -> float:
        """Gradients and Adam's moments."""
        return self.gradients + self.moments

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.moments + self.activations + self.cache


def stage_memory(work: Work, shape: Shape, setup: Setup) -> Memory:
    """The worst moment of a stage."""
    return max(stage_moments(work, shape, setup), key=lambda one: one.total)


def stage_moments(work: Work, shape: Shape, setup: Setup) -> list[Memory]:
    """The worst moment of loading and of each pass of a stage."""
    standing = Memory(
        weights=sum(_resident(work, name, shape, setup) for name in work.models)
        + _sampler(work, shape, setup)
        + FP32 * work.extra,
        moments=2 * FP32 * (_trained(work, shape, setup) + work.extra),
    )
    if not work.models:
        return [standing]
    passes = [_pass_memory(one, work, standing, shape, setup) for one in work.passes]
    return [_loading(work, shape, setup), *passes]


def _loading(work: Work, shape: Shape, setup: Setup) -> Memory:
    """Models are read one after another: each whole and in fp32, then converted or cut into shards."""
    before, most = 0.0, 0.0
    for name, model in work.models.items():
        resident = _resident(work, name, shape, setup)
        if resident:
            converted = resident if setup.precision == "bf16" and not model.trained else 0.0
            most = max(most, before + FP32 * shape.count(model.head) + converted)
        before += resident
    return Memory(weights=max(most, before), moment="load")


def _pass_memory(one: Pass, work: Work, standing: Memory, shape: Shape, setup: Setup) -> Memory:
    if one.does == "train":
        return _train(one, work, standing, shape, setup)
    weights = standing.weights + _together(one, work, shape, setup)
    if one.does == "write":
        slots = slots_of(one, shape, setup)
        cache, copy = slots * one.tokens * cache_bytes(one, shape, setup), decoding_copy(one, shape, setup)
        table = CHOICE_ALIVE * FP32 * slots * shape.vocabulary
        return replace(standing, weights=weights + copy, cache=cache, activations=table, moment="write")
    rows = min(one.microbatch or SCORING_ROWS, _a_device(one.batch, setup) or math.inf)
    forward = max(
        rows * one.tokens * layer_forward(shape, setup) + rows * _mask(one),
        rows * one.tokens * shape.d * FP32 + _logits(one, shape, rows, any_lm(one, work)),
    )
    return replace(standing, weights=weights, activations=forward, moment="read")


def _train(one: Pass, work: Work, standing: Memory, shape: Shape, setup: Setup) -> Memory:
    """Activations and logits at the end of the forward pass, or gradients at the end of the way back."""
    share = _a_device(one.batch, setup)
    rows = min(one.microbatch or share, share)
    held = _a_device(one.held, setup) if one.held else rows
    graphs = math.ceil(held / max(1, rows))
    each = held * (one.tokens * kept_of_token(shape, setup) + _mask(one)) + graphs * kept_of_graph(
        shape, setup
    )
    table = _logits(one, shape, held, any_lm(one, work))
    way_back = rows * one.tokens * layer_backward(shape, setup)
    gradients = FP32 * (_trained(work, shape, setup) + work.extra)
    there = gradients * (1 + min(one.copies, 1)) if one.copies or share > held else 0.0
    together = _together(one, work, shape, setup)
    weights = standing.weights + together
    kept = len(one.models) * each
    if len(one.models) > 1:  # the way back begins at the last one, and the first one's log-softmax waits
        kept += table / LOGITS_ALIVE
    left = together
    if setup.checkpointing:  # one layer is computed again; bf16 copies made within a layer are gone by then
        way_back += rows * one.tokens * kept_of_layer(shape, setup)
        left = together if setup.sharded else together / shape.layers
    moments = [
        _at("train", standing, weights, each + table, there),
        _at("train", standing, weights, kept, there),
        _at("train", standing, standing.weights + left, kept + way_back, there),
        # Copies of a gradient are compared when the way back is done.
        _at(
            "update",
            standing,
            standing.weights,
            0.0 if one.copies else way_back,
            gradients * (1 + one.copies),
        ),
    ]
    return max(moments, key=lambda found: found.total)


def _at(moment: str, standing: Memory, weights: float, activations: float, gradients: float) -> Memory:
    return replace(standing, weights=weights, activations=activations, gradients=gradients, moment=moment)


# --- Weights ------------------------------------------------------------------------------------------


def _resident(work: Work, name: str, shape: Shape, setup: Setup) -> float:
    """Bytes of a model's weights that are there throughout."""
    model = work.models[name]
    count = shape.count(model.head)
    low = BF16 if setup.precision == "bf16" else FP32
    if not model.trained and setup.lora_rank and model.shares:
        return 0.0
    passes = [one for one in work.passes if name in one.models]
    if setup.engine == "vllm" and all(one.does == "write" and not one.microbatch for one in passes):
        return 0.0  # vLLM reads it itself
    if not model.trained:
        return low * count / _cut(setup)
    if setup.lora_rank:
        return low * count / _cut(setup) + FP32 * trained_parameters(model, shape, setup)
    return FP32 * count / _cut(setup)


def _together(one: Pass, work: Work, shape: Shape, setup: Setup) -> float:
    """Bytes of copies of weights that a pass needs: bf16 copies, or out of shards the outermost and two layers."""
    low = BF16 if setup.precision == "bf16" else FP32
    if setup.sharded:
        if one.does == "write":
            return 0.0
        outer = sum(shape.count(work.models[name].head) - shape.in_layers for name in one.models)
        return low * (TOGETHER * shape.in_layers / shape.layers + outer)
    if setup.precision == "fp32" or setup.lora_rank or one.does == "write":
        return 0.0
    return sum(BF16 * shape.count(work.models[name].head) for name in one.models if work.models[name].trained)


def _trained(work: Work, shape: Shape, setup: Setup) -> float:
    """Trained parameters on one device."""
    every = sum(trained_parameters(model, shape, setup) for model in work.models.values() if model.trained)
    return every / _cut(setup)


def trained_parameters(model: Model, shape: Shape, setup: Setup) -> int:
    """Of a model that learns: all, or adapters and a score."""
    if not setup.lora_rank:
        return shape.count(model.head)
    return shape.adapters(setup.lora_rank, setup.lora_targets) + (shape.d if model.head == "scalar" else 0)


def _sampler(work: Work, shape: Shape, setup: Setup) -> float:
    """A whole copy of a policy in shards, kept to sample from."""
    own = any(one.does == "write" and one.microbatch for one in work.passes)
    return written_bytes(setup) * shape.parameters if own and setup.sharded else 0.0


def written_bytes(setup: Setup) -> int:
    """Bytes of a number while a stage samples from the model that it trains: no autocast there, so fp32 masters as they
    are; bf16 of a copy of shards, and under adapters."""
    return BF16 if setup.precision == "bf16" and (setup.sharded or setup.lora_rank) else FP32


def sampling_bytes(one: Pass, setup: Setup) -> int:
    """Bytes of a number while a pass samples: of the recipe's precision; vLLM's is bf16 on a GPU."""
    if by_vllm(one, setup):
        return FP32 if setup.cpu else BF16
    if one.microbatch:
        return written_bytes(setup)
    return BF16 if setup.precision == "bf16" else FP32


def by_vllm(one: Pass, setup: Setup) -> bool:
    """Whether vLLM draws the rows of a writing pass."""
    return (setup.sampler if one.microbatch else setup.engine) == "vllm"


def decoding_copy(one: Pass, shape: Shape, setup: Setup) -> float:
    """The lean decoder's own copy of the weights; the copy of a policy in shards is such a model again."""
    if by_vllm(one, setup):
        return (
            sampling_bytes(one, setup) * shape.parameters
        )  # an engine of its own beside what transformers has read
    lean = setup.cpu and shape.is_llama and not setup.lora_rank and written_bytes(setup) == FP32
    return FP32 * (shape.matrices + shape.vocabulary * shape.d) if lean else 0.0


# --- Activations --------------------------------------------------------------------------------------


def kept_of_token(shape: Shape, setup: Setup) -> float:
    """Bytes that autograd keeps of one token: all layers, or only what goes into them, and the last norm."""
    d, f, q, k, h = shape.d, shape.f, shape.q, shape.k, shape.heads
    if setup.checkpointing:
        stream = BF16 if setup.precision == "bf16" and (setup.sharded or setup.lora_rank) else FP32
        return shape.layers * stream * d + FP32 * 3 * d
    last = FP32 * 3 * d
    if setup.lean(shape):
        # norms 6 d; queries, keys and values as multiplied, rotated, and with their padding; mixed values before and
        # after it is taken away; gate and up, their product's two factors' results.
        packed = 6 * d + (q + k) + (q + 2 * k) + q + 4 * f + 2
        padded = (q + k) + k + q + h
        return FP32 * (shape.layers * (packed + padded)) + last
    return shape.layers * kept_of_layer(shape, setup) + last


def kept_of_layer(shape: Shape, setup: Setup) -> float:
    """Bytes of one token in one layer of transformers' modules.

    Inputs of both norms and what they make of them; queries, keys, values and what attention mixes; four of the MLP;
    log-sums of attention and scales of norms in fp32.
    """
    d, f, q, k, h = shape.d, shape.f, shape.q, shape.k, shape.heads
    small = FP32 * (h + 2)
    if setup.lora_rank:
        return _kept_beside_adapters(shape, setup) + small
    if setup.precision == "fp32":
        return FP32 * (6 * d + 2 * q + 2 * k + 4 * f) + small
    inner = BF16 * (2 * q + 2 * k + 4 * f) + small
    if setup.sharded:
        return 16 * d + inner  # weights, so the stream too, in bf16: norms keep 4 + 2 + 2 bytes each
    return (
        26 * d + inner
    )  # autocast: the stream in fp32; norms keep 4 + 4 bytes, and each matrix its own bf16 input


def _kept_beside_adapters(shape: Shape, setup: Setup) -> float:
    """The same where matrices are frozen: their inputs are kept for the adapters alone, under bf16 a copy for each."""
    d, f, q, k = shape.d, shape.f, shape.q, shape.k
    adapted = shape.adapted(setup.lora_targets)
    inner = setup.lora_rank * len(adapted) / shape.layers
    if setup.precision == "fp32":
        return FP32 * (4 * d + 2 * q + 2 * k + 4 * f + inner)
    copies = sum(size[1] for size in adapted) / shape.layers
    return 8 * d + BF16 * (2 * q + 2 * k + 3 * f + copies + inner)


def kept_of_graph(shape: Shape, setup: Setup) -> float:
    """Bytes that one forward pass keeps whatever its rows: the lean one joins matrices of queries, keys and values,
    and of gate and up."""
    joined = (shape.q + 2 * shape.k) * shape.d + 2 * shape.f * shape.d
    return FP32 * shape.layers * joined if setup.lean(shape) else 0.0


def layer_forward(shape: Shape, setup: Setup) -> float:
    """Bytes of one token inside one layer where nothing is kept: stream, input, and three of the MLP."""
    return (BF16 if setup.precision == "bf16" else FP32) * (2 * shape.d + 3 * shape.f)


def layer_backward(shape: Shape, setup: Setup) -> float:
    """Bytes of one token's gradients inside the layer on the way back."""
    return (BF16 if setup.precision == "bf16" else FP32) * (shape.d + 3 * shape.f)


def _mask(one: Pass) -> float:
    return FP32 * one.tokens**2 if one.masked else 0.0


def _logits(one: Pass, shape: Shape, rows: float, lm: bool) -> float:
    return LOGITS_ALIVE * FP32 * rows * one.response * shape.vocabulary if one.logits and lm else 0.0


def any_lm(one: Pass, work: Work) -> bool:
    """Whether a model of the pass makes logits."""
    return any(work.models[name].head == "lm" for name in one.models)


# --- Sampling -----------------------------------------------------------------------------------------


def slots_of(one: Pass, shape: Shape, setup: Setup) -> float:
    """Rows decoded side by side on one device; vLLM takes no more than its share of the memory has room for."""
    if by_vllm(one, setup):
        share = VLLM_SAMPLER_SHARE if one.microbatch else VLLM_SHARE
        room = share * setup.memory - decoding_copy(one, shape, setup)
        wanted = min(one.microbatch, _a_device(one.batch, setup)) if one.microbatch else VLLM_SLOTS
        return max(1.0, min(wanted, one.rows, room // (one.tokens * cache_bytes(one, shape, setup))))
    if not one.microbatch:
        return min(ENGINE_SLOTS, max(1, ENGINE_CACHE_TOKENS // max(1, int(one.tokens))), one.rows)
    return min(one.microbatch, _a_device(one.batch, setup) or math.inf)


def cache_bytes(one: Pass, shape: Shape, setup: Setup) -> float:
    """Bytes of keys and values of one token. While one layer's grows, the old and the new one are there."""
    return 2 * sampling_bytes(one, setup) * shape.k * (shape.layers + 1)


def _a_device(rows: int, setup: Setup) -> int:
    return math.ceil(rows / setup.devices)


def _cut(setup: Setup) -> int:
    return setup.devices if setup.sharded else 1
