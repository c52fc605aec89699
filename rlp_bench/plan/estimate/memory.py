"""Peak memory of a stage on one device, in bytes.

Weights: fp32 master weights of trained models; under bf16 also a bf16 copy while the graph holds it, or under FSDP of
the gathered layers; frozen models in the training precision. Gradients and Adam's two moments are fp32. Activations:
the tensors that autograd saves, counted one by one for a Llama layer with fused attention, as Korthikanti et al. 2022
(arXiv:2205.05198), equation 2 does for GPT. Departs: no dropout masks and no attention scores; a gated MLP; RMS norm
as in transformers. Letters, per token and layer: d hidden, f intermediate, q and k widths of queries and keys, h heads.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from rlp_bench.plan.estimate.shapes import Shape
from rlp_bench.plan.estimate.workload import Model, Pass, Work

FP32, BF16 = 4, 2
TOGETHER = 2
"""Layers gathered at a time under FSDP: the one that computes and the one that is prefetched."""
LOGITS_ALIVE = 3
"""fp32 logit-sized tensors at a loss: logits, logits / temperature and their log-softmax; in the backward pass the
log-softmax, its gradient and that of the logits."""
CHOICE_ALIVE = 5
"""Logit-sized tensors while a token is sampled: see `choose` in trainers/generation/seeded_sampling.py."""
ENGINE_SLOTS, ENGINE_CACHE_TOKENS = 128, 32768
"""Rows decoded in one batch, and tokens in the KV cache, of the engine "transformers"."""
SCORING_ROWS = 64
"""Rows that it scores in one batch."""
VLLM_SLOTS = 256
"""Rows decoded in one batch by the engine "vllm"."""
VLLM_SHARE, VLLM_SAMPLER_SHARE = 0.6, 0.3
"""Fractions of a device's memory that vLLM reserves: as the engine, and as the sampler beside a trained model."""


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
    """The sampler of stages that do not train."""
    sampler: str = "transformers"
    """The sampler of stages that train (rollouts)."""
    memory: float = math.inf
    """Memory of the device in bytes, of which vLLM reserves a fraction."""

    @property
    def sharded(self) -> bool:
        return self.strategy == "fsdp" and self.devices > 1

    def lean(self, shape: Shape) -> bool:
        """Whether our Llama forward pass is used: fp32 on a CPU, unsharded, without LoRA or checkpointing."""
        plain = (
            self.precision == "fp32" and not self.checkpointing and not self.sharded and not self.lora_rank
        )
        return self.cpu and plain and shape.is_llama


@dataclass(frozen=True)
class Memory:
    """Bytes per device by purpose, at the moment when their sum is largest."""

    weights: float = 0.0
    """Master weights, bf16 copies, frozen models, layers gathered by FSDP, copies for decoding."""
    gradients: float = 0.0
    moments: float = 0.0
    activations: float = 0.0
    """Activations, logits included."""
    cache: float = 0.0
    """KV cache while sampling."""
    moment: str = ""
    """The phase: "load", "write", "read", "train" or "update"."""

    @property
    def optimizer(self) -> float:
        """Gradients and Adam's moments."""
        return self.gradients + self.moments

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.moments + self.activations + self.cache


def stage_memory(work: Work, shape: Shape, setup: Setup) -> Memory:
    """Peak memory of a stage."""
    return max(stage_moments(work, shape, setup), key=lambda one: one.total)


def stage_moments(work: Work, shape: Shape, setup: Setup) -> list[Memory]:
    """Peak memory of loading and of each pass of a stage."""
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
    """Peak while models are loaded one after another: each complete in fp32, then converted or sharded."""
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
    """Peak of training: activations and logits after the forward pass, or gradients in the backward pass."""
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
    if len(one.models) > 1:  # backward starts with the last model, while the first one's log-softmax is kept
        kept += table / LOGITS_ALIVE
    left = together
    if setup.checkpointing:  # one layer is recomputed; bf16 copies made within a layer are freed by then
        way_back += rows * one.tokens * kept_of_layer(shape, setup)
        left = together if setup.sharded else together / shape.layers
    moments = [
        _at("train", standing, weights, each + table, there),
        _at("train", standing, weights, kept, there),
        _at("train", standing, standing.weights + left, kept + way_back, there),
        # Copies of a gradient are compared after the backward pass.
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
    """Bytes of a model's weights that stay in memory throughout the stage."""
    model = work.models[name]
    count = shape.count(model.head)
    low = BF16 if setup.precision == "bf16" else FP32
    if not model.trained and setup.lora_rank and model.shares:
        return 0.0
    passes = [one for one in work.passes if name in one.models]
    if setup.engine == "vllm" and all(one.does == "write" and not one.microbatch for one in passes):
        return 0.0  # vLLM loads it itself
    if not model.trained:
        return low * count / _cut(setup)
    if setup.lora_rank:
        return low * count / _cut(setup) + FP32 * trained_parameters(model, shape, setup)
    return FP32 * count / _cut(setup)


def _together(one: Pass, work: Work, shape: Shape, setup: Setup) -> float:
    """Bytes of temporary weights in a pass: bf16 copies, or under FSDP the gathered outer parameters and two layers."""
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
    """Number of trained parameters of a trained model: all, or the adapters and a scalar head."""
    if not setup.lora_rank:
        return shape.count(model.head)
    return shape.adapters(setup.lora_rank, setup.lora_targets) + (shape.d if model.head == "scalar" else 0)


def _sampler(work: Work, shape: Shape, setup: Setup) -> float:
    """Bytes of the unsharded copy of a sharded policy, kept for sampling."""
    own = any(one.does == "write" and one.microbatch for one in work.passes)
    return written_bytes(setup) * shape.parameters if own and setup.sharded else 0.0


def written_bytes(setup: Setup) -> int:
    """Bytes per weight while a stage samples from the model that it trains: fp32 master weights, as there is no
    autocast; bf16 for the copy of a sharded policy and with adapters."""
    return BF16 if setup.precision == "bf16" and (setup.sharded or setup.lora_rank) else FP32


def sampling_bytes(one: Pass, setup: Setup) -> int:
    """Bytes per weight while a pass samples: the recipe's precision; vLLM uses bf16 on a GPU."""
    if by_vllm(one, setup):
        return FP32 if setup.cpu else BF16
    if one.microbatch:
        return written_bytes(setup)
    return BF16 if setup.precision == "bf16" else FP32


def by_vllm(one: Pass, setup: Setup) -> bool:
    """Whether vLLM samples the rows of a "write" pass."""
    return (setup.sampler if one.microbatch else setup.engine) == "vllm"


def decoding_copy(one: Pass, shape: Shape, setup: Setup) -> float:
    """Bytes of the weight copy of vLLM or of our CPU decoder; 0 otherwise."""
    if by_vllm(one, setup):
        return (
            sampling_bytes(one, setup) * shape.parameters
        )  # vLLM holds its own weights, beside those loaded by transformers
    lean = setup.cpu and shape.is_llama and not setup.lora_rank and written_bytes(setup) == FP32
    return FP32 * (shape.matrices + shape.vocabulary * shape.d) if lean else 0.0


# --- Activations --------------------------------------------------------------------------------------


def kept_of_token(shape: Shape, setup: Setup) -> float:
    """Bytes that autograd saves per token: all layers (checkpointing: only their inputs) and the last norm."""
    d, f, q, k, h = shape.d, shape.f, shape.q, shape.k, shape.heads
    if setup.checkpointing:
        stream = BF16 if setup.precision == "bf16" and (setup.sharded or setup.lora_rank) else FP32
        return shape.layers * stream * d + FP32 * 3 * d
    last = FP32 * 3 * d
    if setup.lean(shape):
        # Norms 6 d; queries, keys and values after projection, after rotation and padded; attention outputs before and
        # after unpadding; gate and up projections, the activated gate and its product with up.
        packed = 6 * d + (q + k) + (q + 2 * k) + q + 4 * f + 2
        padded = (q + k) + k + q + h
        return FP32 * (shape.layers * (packed + padded)) + last
    return shape.layers * kept_of_layer(shape, setup) + last


def kept_of_layer(shape: Shape, setup: Setup) -> float:
    """Bytes saved per token in one layer of transformers' modules.

    Inputs and outputs of both norms; queries, keys, values and the attention output; four tensors of the MLP; the
    log-sum-exp of attention and the scales of norms in fp32.
    """
    d, f, q, k, h = shape.d, shape.f, shape.q, shape.k, shape.heads
    small = FP32 * (h + 2)
    if setup.lora_rank:
        return _kept_beside_adapters(shape, setup) + small
    if setup.precision == "fp32":
        return FP32 * (6 * d + 2 * q + 2 * k + 4 * f) + small
    inner = BF16 * (2 * q + 2 * k + 4 * f) + small
    if setup.sharded:
        return 16 * d + inner  # weights and so the residual stream in bf16: norms save 4 + 2 + 2 bytes each
    return (
        26 * d + inner
    )  # autocast: residual stream in fp32; norms save 4 + 4 bytes, each matrix a bf16 copy of its input


def _kept_beside_adapters(shape: Shape, setup: Setup) -> float:
    """The same with frozen matrices: inputs are saved only for adapters, under bf16 one copy for each."""
    d, f, q, k = shape.d, shape.f, shape.q, shape.k
    adapted = shape.adapted(setup.lora_targets)
    inner = setup.lora_rank * len(adapted) / shape.layers
    if setup.precision == "fp32":
        return FP32 * (4 * d + 2 * q + 2 * k + 4 * f + inner)
    copies = sum(size[1] for size in adapted) / shape.layers
    return 8 * d + BF16 * (2 * q + 2 * k + 3 * f + copies + inner)


def kept_of_graph(shape: Shape, setup: Setup) -> float:
    """Bytes that one forward pass saves regardless of its rows: our CPU forward pass concatenates the matrices of
    queries, keys and values, and of gate and up."""
    joined = (shape.q + 2 * shape.k) * shape.d + 2 * shape.f * shape.d
    return FP32 * shape.layers * joined if setup.lean(shape) else 0.0


def layer_forward(shape: Shape, setup: Setup) -> float:
    """Bytes per token inside one layer without autograd: residual stream, input, and three tensors of the MLP."""
    return (BF16 if setup.precision == "bf16" else FP32) * (2 * shape.d + 3 * shape.f)


def layer_backward(shape: Shape, setup: Setup) -> float:
    """Bytes per token of gradients inside one layer in the backward pass."""
    return (BF16 if setup.precision == "bf16" else FP32) * (shape.d + 3 * shape.f)


def _mask(one: Pass) -> float:
    return FP32 * one.tokens**2 if one.masked else 0.0


def _logits(one: Pass, shape: Shape, rows: float, lm: bool) -> float:
    return LOGITS_ALIVE * FP32 * rows * one.response * shape.vocabulary if one.logits and lm else 0.0


def any_lm(one: Pass, work: Work) -> bool:
    """Whether a model of the pass computes logits."""
    return any(work.models[name].head == "lm" for name in one.models)


# --- Sampling -----------------------------------------------------------------------------------------


def slots_of(one: Pass, shape: Shape, setup: Setup) -> float:
    """Rows decoded in one batch on one device; with vLLM at most as many as its KV cache has room for."""
    if by_vllm(one, setup):
        share = VLLM_SAMPLER_SHARE if one.microbatch else VLLM_SHARE
        room = share * setup.memory - decoding_copy(one, shape, setup)
        wanted = min(one.microbatch, _a_device(one.batch, setup)) if one.microbatch else VLLM_SLOTS
        return max(1.0, min(wanted, one.rows, room // (one.tokens * cache_bytes(one, shape, setup))))
    if not one.microbatch:
        return min(ENGINE_SLOTS, max(1, ENGINE_CACHE_TOKENS // max(1, int(one.tokens))), one.rows)
    return min(one.microbatch, _a_device(one.batch, setup) or math.inf)


def cache_bytes(one: Pass, shape: Shape, setup: Setup) -> float:
    """Bytes of keys and values per token; one extra layer, because a growing layer's cache exists twice."""
    return 2 * sampling_bytes(one, setup) * shape.k * (shape.layers + 1)


def _a_device(rows: int, setup: Setup) -> int:
    return math.ceil(rows / setup.devices)


def _cut(setup: Setup) -> int:
    return setup.devices if setup.sharded else 1
