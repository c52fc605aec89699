"""Checkpoints of a stage that is not finished: safetensors and JSON in its scratch folder, the newest one only.

There are no generator states to keep: every draw is a function of seed and step (see `chance`).
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Module

from .optimiser import Optimiser

PREFIX = "checkpoint-"


def save_checkpoint(
    scratch: Path, step: int, modules: Mapping[str, Module], optimiser: Optimiser, state: Mapping[str, Any]
) -> None:
    """Writes all of it beside, then renames: a kill leaves the previous checkpoint or this one, never half.

    Args:
        scratch: the stage's folder that survives a kill.
        step: how many updates (PPO: rollouts) are done; names the checkpoint.
        modules: what is trained, by name.
        optimiser: its Adam moments are kept with their step counts.
        state: anything else, as JSON (the log so far, the KL coefficient).
    """
    folder = scratch / f"{PREFIX}{step:08d}"
    partial = scratch / f"partial-{step:08d}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(_tensors(modules, optimiser), partial / "tensors.safetensors")
    (partial / "state.json").write_text(json.dumps(state))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    for older in scratch.glob(f"{PREFIX}*"):
        if older != folder:
            shutil.rmtree(older)


def load_checkpoint(
    scratch: Path, modules: Mapping[str, Module], optimiser: Optimiser
) -> tuple[int, dict[str, Any]]:
    """Puts the newest checkpoint into modules and optimiser.

    Returns:
        (steps done, state); (0, {}) where there is none, and nothing is changed then.
    """
    found = sorted(scratch.glob(f"{PREFIX}*"))
    if not found:
        return 0, {}
    folder = found[-1]
    with safe_open(folder / "tensors.safetensors", framework="pt") as file:
        for name, parameter in _parameters(modules).items():
            parameter.data.copy_(file.get_tensor(name))
        for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
            if key.startswith("adam/"):
                _, index, moment = key.split("/")
                owner = optimiser.parameters[int(index)]
                tensor = file.get_tensor(key)
                optimiser.adam.state[owner][moment] = tensor.to(owner.device)
    return int(folder.name.removeprefix(PREFIX)), json.loads((folder / "state.json").read_text())


def _parameters(modules: Mapping[str, Module]) -> dict[str, Tensor]:
    """Every parameter once, also where two names share it (tied embeddings)."""
    return {f"{name}/{key}": p for name, module in modules.items() for key, p in module.named_parameters()}


def _tensors(modules: Mapping[str, Module], optimiser: Optimiser) -> dict[str, Tensor]:
    tensors = {name: parameter.detach().contiguous() for name, parameter in _parameters(modules).items()}
    for index, parameter in enumerate(optimiser.parameters):
        for moment, tensor in optimiser.adam.state.get(parameter, {}).items():
            tensors[f"adam/{index}/{moment}"] = tensor.detach().contiguous()
    return tensors
