"""Low-rank adapters: trains B A beside frozen matrices W (Hu et al. 2021, arXiv:2106.09685), with peft.

Adapters are injected in place, so the model keeps its class; a stage writes a plain checkpoint with
W + (alpha / r) B A. PPO's reference policy is the same model with its adapters disabled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import BenchError, Training

HEAD = "score"
"""Name of the scalar head of reward models and value nets; it is new and therefore trained without an adapter."""


def with_adapters(model: Any, training: Training, seed: int) -> Any:
    """The model with adapters, initially without effect (B is 0); everything else but a scalar head is frozen.

    Raises:
        BenchError: peft is not installed, or no module has one of the names in training.lora_targets.
    """
    if not training.lora_rank:
        return model
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise BenchError("training.lora_rank: needs peft; pip install 'rlp-bench[lora]'") from None
    targets = list(training.lora_targets) or linear_names(model)
    config = LoraConfig(
        r=training.lora_rank, lora_alpha=training.lora_alpha, lora_dropout=0.0, target_modules=targets
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = inject_adapter_in_model(config, model)
        except ValueError as error:
            raise BenchError(f"training.lora_targets: {' '.join(str(error).split())[:200]}") from None
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or name.startswith(f"{HEAD}."))
    return model


def linear_names(model: Any) -> list[str]:
    """The last name components of all linear modules in the decoder layers, such as "q_proj"."""
    inside = [
        name for name, module in model.base_model.named_modules() if isinstance(module, torch.nn.Linear)
    ]
    return sorted(
        {name.rsplit(".", 1)[-1] for name in inside if ".layers." in f".{name}" or ".h." in f".{name}"}
    )


def adapted(model: Any) -> bool:
    """Whether a model has adapters."""
    return any(True for _ in _layers(model))


@contextmanager
def adapters_off(model: Any) -> Iterator[None]:
    """Disables the adapters within the context: the model computes as before training."""
    layers = list(_layers(model))
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def merged_state(model: Any, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The state of an equivalent plain model: adapters merged into their matrices, names as without adapters.

    Args:
        state: tensors to use instead of the model's own.
    """
    found = dict(model.state_dict()) if state is None else state
    for name, layer in [(name, module) for name, module in model.named_modules() if _is_layer(module)]:
        down, up = (found.pop(f"{name}.lora_{side}.default.weight") for side in ("A", "B"))
        weight = found.pop(f"{name}.base_layer.weight")
        added = layer.scaling["default"] * (up.double() @ down.double())
        found[f"{name}.weight"] = (weight.double() + added).to(torch.float32)
        if f"{name}.base_layer.bias" in found:
            found[f"{name}.bias"] = found.pop(f"{name}.base_layer.bias")
    return found


def _layers(model: Any) -> Iterator[Any]:
    return (module for module in model.modules() if _is_layer(module))


def _is_layer(module: Any) -> bool:
    return hasattr(module, "lora_A") and hasattr(module, "base_layer")
