"""Distributed training of one stage: data parallel with full models (ddp), or with sharded models (fsdp).

Every process holds all rows and takes its share of each batch; losses are sums over the share divided by the size of
the *whole* batch, so that the sum over processes is the gradient that one process would have computed. Process groups,
devices and collectives are accelerate's. Sharding is torch's `fully_shard` (FSDP2) itself, because accelerate's FSDP2
silently falls back to plain data parallelism on CPUs, where it is tested. With one process in fp32 everything here is
a no-op, and accelerate is not imported.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from rlp_bench.api import BenchError, ProcessGroup, Training

from ..data.seeding import derived_seed
from ..data.tokenize import length_sorted_batches
from ..modeling.forward import _plain_output
from ..modeling.lora import adapted, merged_state, with_adapters
from ..modeling.pair_scoring import shares_beginnings

T = TypeVar("T")


class Processes:
    """The processes that train one stage: model preparation, batch shares, collectives. No-ops with one process."""

    def __init__(self, process_group: ProcessGroup, training: Training, device: str) -> None:
        self.process_group, self.training, self.device = process_group, training, device
        self.rank, self.size = process_group.rank, process_group.size
        self.sharded = process_group.strategy == "fsdp" and process_group.size > 1
        self._accelerator: Any = None

    @property
    def main(self) -> bool:
        """Whether this is the main process, the one that writes files."""
        return self.rank == 0

    @property
    def accelerator(self) -> Any:
        """accelerate's `Accelerator`, created on first use, after the launcher has set rank and address."""
        if self._accelerator is None:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=self.device == "cpu")
            if self._accelerator.num_processes != self.size:
                raise RuntimeError(
                    f"{self._accelerator.num_processes} processes in the process group; expected {self.size}"
                )
        return self._accelerator

    # --- Models ---------------------------------------------------------------------------------------

    def prepare(self, model: Any, learns: bool = True, seed: int = 0) -> Any:
        """The model ready for training: adapters, precision of frozen weights, activation checkpointing, sharding.

        Args:
            learns: whether the model is trained; False for inference only.
            seed: for the initial values of the adapters.

        Raises:
            BenchError: adapters with sharded models.
        """
        if hasattr(model, "members"):
            model.members = torch.nn.ModuleList(self.prepare(member, learns) for member in model.members)
            return model
        if self.size > 1:
            self.wait()  # creates accelerate's process group before any other library creates one
        low = self.training.precision == "bf16"
        if learns and self.training.lora_rank:
            if self.sharded:
                raise BenchError(
                    "training.lora_rank with compute.strategy fsdp: adapters of sharded models are not supported; "
                    "expected strategy ddp or one; change compute.strategy or set lora_rank = 0"
                )
            model = with_adapters(model, self.training, derived_seed(seed, "lora"))
            frozen = [p for p in model.parameters() if not p.requires_grad]
            for parameter in frozen:
                parameter.data = parameter.data.to(torch.bfloat16) if low else parameter.data
        if not learns:
            model.requires_grad_(False)
            model = model.to(torch.bfloat16) if low else model
        if learns and self.process_group.activation_checkpointing:
            recompute_activations(model)
        if self.sharded:
            shard(model, low and learns)
        return model

    def run(self, model: Any, work: Callable[..., Any], *given: Any) -> Any:
        """`work(model, *given)` in the training precision, within the model's forward pass if it is sharded.

        Floating-point results are returned in fp32.
        """
        with self._precision():
            found = model(*given, work=work) if getattr(model, "in_shards", False) else work(model, *given)
        return _to_fp32(found) if self.training.precision == "bf16" else found

    def _precision(self) -> Any:
        if self.training.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def whole(self, model: Any) -> dict[str, Tensor] | None:
        """The state to save of a sharded or adapted model, on the main process's CPU; None: the model's own tensors."""
        state = self._gathered(model)
        if not adapted(model):
            return state
        return merged_state(model, state) if self.main else {}

    def _gathered(self, model: Any) -> dict[str, Tensor] | None:
        """The full state of a sharded model on the main process, {} on others; None if it is not sharded."""
        if not getattr(model, "in_shards", False):
            return None
        once = {name for name, _ in model.named_parameters()} | {name for name, _ in model.named_buffers()}
        state = {}
        for name, tensor in model.state_dict().items():
            if name not in once:  # tied to a parameter that is saved under another name
                continue
            full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
            if self.main:
                state[name] = full.detach().cpu()
        return state

    # --- Rows -----------------------------------------------------------------------------------------

    def slice(self, n: int) -> range:
        """This process's range when n indices are split into `size` contiguous ranges of (nearly) equal length."""
        return range(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def share(self, rows: Sequence[T]) -> tuple[list[T], list[float]]:
        """This process's rows, the same number in every process, and their weights: 0 for filler rows."""
        if self.size == 1:
            return list(rows), [1.0] * len(rows)
        each = -(-len(rows) // self.size)
        mine = list(rows[self.rank :: self.size])
        return mine + [rows[0]] * (each - len(mine)), [1.0] * len(mine) + [0.0] * (each - len(mine))

    def parts(self, lengths: Sequence[int], microbatch: int) -> list[tuple[list[int], float]]:
        """Micro-batches of this process, of similar length, the same number in every process; filler has weight 0."""
        if self.size == 1:
            return [(rows, 1.0) for rows in length_sorted_batches(list(lengths), microbatch)]
        order = [row for rows in length_sorted_batches(list(lengths), len(lengths)) for row in rows]
        mine, most = order[self.rank :: self.size], -(-len(order) // self.size)
        found = [(mine[start : start + microbatch], 1.0) for start in range(0, len(mine), microbatch)]
        return found + [([order[-1]], 0.0)] * (-(-most // microbatch) - len(found))

    # --- Numbers --------------------------------------------------------------------------------------

    def backward(self, loss: Tensor) -> None:
        """Accumulates the gradient of this process's share; FSDP averages, so the loss is multiplied by `size`."""
        (loss * self.size if self.sharded else loss).backward()

    def sum_gradients(self, parameters: Iterable[Parameter]) -> None:
        """With ddp, replaces every gradient by its sum over processes. FSDP has already reduced the gradients."""
        if self.size == 1 or self.process_group.strategy != "ddp":
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.copy_(self.accelerator.reduce(parameter.grad, "sum"))

    def sums(self, values: dict[str, float]) -> dict[str, float]:
        """The sum over processes of each number."""
        if self.size == 1:
            return values
        given = torch.tensor(list(values.values()), dtype=torch.float64, device=self._collective_device)
        return dict(zip(values, self.accelerator.reduce(given, "sum").tolist(), strict=True))

    def gather(self, mine: T) -> list[T]:
        """The values of all processes, in rank order."""
        if self.size == 1:
            return [mine]
        from accelerate.utils import gather_object

        self.accelerator.wait_for_everyone()
        found: list[T] = gather_object([mine])
        return found

    def joined(self, rows: Tensor) -> Tensor:
        """The rows (b, d) of all processes, (size * b, d), in rank order. Differentiable: gradients are summed."""
        if self.size == 1:
            return rows
        from torch.distributed.nn.functional import all_gather

        return torch.cat(list(all_gather(rows)))

    def wait(self) -> None:
        """Barrier over all processes."""
        if self.size > 1:
            self.accelerator.wait_for_everyone()

    @property
    def _collective_device(self) -> Any:
        return self.accelerator.device


def shard(model: Any, low: bool) -> None:
    """Shards every decoder layer, and the rest of the model, over all processes (FSDP2); `low`: computes in bf16.

    Source: Zhao et al. 2023 (arXiv:2304.11277); torch's `fully_shard`.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    probe(model)
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if low else MixedPrecisionPolicy()
    for layer in decoder_layers(model):
        fully_shard(layer, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    plain = model.forward

    def forward(*given: Any, work: Callable[..., Any] | None = None, **named: Any) -> Any:
        """The model's own forward pass, or `work` on the model while its root parameters are unsharded."""
        return plain(*given, **named) if work is None else work(model, *given)

    model.forward = forward
    model.in_shards = True


def recompute_activations(model: Any) -> None:
    """Enables activation checkpointing: every decoder layer stores only its input and recomputes in the backward pass.

    Source: Chen et al. 2016 (arXiv:1604.06174).
    """
    from torch.utils.checkpoint import checkpoint

    for layer in decoder_layers(model):
        plain = layer.forward

        def forward(*given: Any, _plain: Any = plain, **named: Any) -> Any:
            return checkpoint(_plain, *given, use_reentrant=False, **named)

        layer.forward = forward
    model.recomputes = True


def decoder_layers(model: Any) -> list[Any]:
    """The modules listed in the architecture's `_no_split_modules`."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def _to_fp32(found: Any) -> Any:
    if isinstance(found, Tensor):
        return found.float() if found.is_floating_point() else found
    return tuple(_to_fp32(each) for each in found) if isinstance(found, tuple) else found


ALONE = Processes(ProcessGroup(), Training(), "cpu")
"""Training in a single process."""


def probe(model: "PreTrainedModel") -> None:
    """Runs the cached capability tests before sharding; a sharded model cannot run them outside its forward pass."""
    shares_beginnings(model) if hasattr(model, "score") else _plain_output(model)
