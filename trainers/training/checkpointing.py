"""Checkpoints of an unfinished stage: safetensors and JSON in its scratch folder, only the newest one is kept.

There is no RNG state to save: every draw is a function of seed and step (see `data.seeding`).
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

from rlp_bench.api import DataError

from .distributed import ALONE, Processes
from .optimizer import Optimizer

PREFIX = "checkpoint-"


def save_checkpoint(
    scratch: Path,
    step: int,
    modules: Mapping[str, Module],
    optimizer: Optimizer,
    state: Mapping[str, Any],
    processes: Processes = ALONE,
) -> None:
    """Writes a checkpoint atomically (to a partial folder, then renamed), so a crash leaves the previous one or this.

    Args:
        scratch: the stage's folder that persists across restarts.
        step: number of completed updates (PPO: rollouts); names the checkpoint.
        modules: the trained modules, by name.
        optimizer: its Adam moments and step counts are saved.
        state: any other state, as JSON (the log so far, the KL coefficient).
        processes: the processes that train together. Sharded models are written in shards, one file per process.
    """
    folder = scratch / f"{PREFIX}{step:08d}"
    partial = scratch / f"partial-{step:08d}"
    if processes.main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / "state.json").write_text(json.dumps(state))
    processes.wait()
    if processes.main or processes.sharded:
        save_file(_tensors(modules, optimizer), partial / _file(processes))
    processes.wait()
    if processes.main:
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        for older in scratch.glob(f"{PREFIX}*"):
            if older != folder:
                shutil.rmtree(older)
    processes.wait()


def load_checkpoint(
    scratch: Path, modules: Mapping[str, Module], optimizer: Optimizer, processes: Processes = ALONE
) -> tuple[int, dict[str, Any]]:
    """Loads the newest checkpoint into the modules and the optimizer.

    Returns:
        (completed steps, state); (0, {}) if there is no checkpoint, and nothing is changed then.

    Raises:
        DataError: the checkpoint was written in shards by another number of processes.
    """
    found = sorted(scratch.glob(f"{PREFIX}*"))
    if not found:
        return 0, {}
    folder = found[-1]
    path = folder / _file(processes)
    if not path.exists():
        there = ", ".join(sorted(file.name for file in folder.glob("*.safetensors")))
        raise DataError(
            f'"{folder}": has {there}; expected {path.name}: the stage was started with another [compute] strategy or '
            "number of workers; resume with the same ones, or remove the folder to start again"
        )
    with safe_open(path, framework="pt") as file:
        for name, parameter in _parameters(modules).items():
            local(parameter.data).copy_(file.get_tensor(name))
        for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
            if key.startswith("adam/"):
                _, index, moment = key.split("/")
                owner = optimizer.parameters[int(index)]
                optimizer.adam.state[owner][moment] = _like(owner, file.get_tensor(key))
    return int(folder.name.removeprefix(PREFIX)), json.loads((folder / "state.json").read_text())


def local(tensor: Any) -> Tensor:
    """This process's shard of a tensor; the tensor itself if it is not sharded."""
    shard: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return shard


def _like(owner: Any, tensor: Tensor) -> Tensor:
    """A stored moment as the optimizer holds it: sharded if its parameter is."""
    tensor = tensor.to(owner.device)
    if not hasattr(owner, "to_local") or not tensor.ndim:
        return tensor
    from torch.distributed.tensor import DTensor

    shaped: Tensor = DTensor.from_local(
        tensor, owner.device_mesh, owner.placements, shape=owner.shape, stride=owner.stride()
    )
    return shaped


def _file(processes: Processes) -> str:
    return (
        f"tensors-{processes.rank:04d}-of-{processes.size:04d}.safetensors"
        if processes.sharded
        else "tensors.safetensors"
    )


def _parameters(modules: Mapping[str, Module]) -> dict[str, Tensor]:
    """Every parameter once, also if two names share it (tied embeddings)."""
    return {f"{name}/{key}": p for name, module in modules.items() for key, p in module.named_parameters()}


def _tensors(modules: Mapping[str, Module], optimizer: Optimizer) -> dict[str, Tensor]:
    tensors = {
        name: local(parameter.detach()).contiguous() for name, parameter in _parameters(modules).items()
    }
    for index, parameter in enumerate(optimizer.parameters):
        for moment, tensor in optimizer.adam.state.get(parameter, {}).items():
            tensors[f"adam/{index}/{moment}"] = local(tensor.detach()).contiguous()
    return tensors
