"""Checkpoints of an unfinished stage: safetensors and JSON in its scratch folder, with hashes; the newest two are kept.

There is no RNG state to save: every draw is a function of seed and step (see `data.seeding`).
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Module

from rlp_bench.api import DataError, write_json, write_text

from .distributed import ALONE, Processes
from .optimizer import Optimizer

PREFIX = "checkpoint-"
STATE = "state.json"
KEPT = 2
"""The newest one, and the one before in case that the newest is damaged."""


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
        write_json(partial / STATE, state)
        _write_hash(partial / STATE)
    processes.wait()
    if processes.main or processes.sharded:
        path = partial / _file(processes)
        save_file(_tensors(modules, optimizer), path)
        _write_hash(path)
    processes.wait()
    if processes.main:
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        for older in _newest_first(scratch)[KEPT:]:
            shutil.rmtree(older)
    processes.wait()


def load_checkpoint(
    scratch: Path, modules: Mapping[str, Module], optimizer: Optimizer, processes: Processes = ALONE
) -> tuple[int, dict[str, Any]]:
    """Loads the newest checkpoint that is whole into the modules and the optimizer; warns of damaged ones.

    Returns:
        (completed steps, state); (0, {}) if there is no whole checkpoint, and nothing is changed then.

    Raises:
        DataError: the checkpoint was written in shards by another number of processes.
    """
    for folder in _newest_first(scratch):
        path = folder / _file(processes)
        others = sorted(file.name for file in folder.glob("*.safetensors"))
        if others and path.name not in others:
            raise DataError(
                f'"{folder}": has {", ".join(others)}; expected {path.name}: the stage was started with another '
                "strategy of [compute] or number of workers; resume with them, or remove the folder to start again"
            )
        fault = next((fault for fault in processes.gather(_fault(folder, path)) if fault), "")
        if not fault:
            _load(path, modules, optimizer)
            state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
            return int(folder.name.removeprefix(PREFIX)), state
        if processes.main:
            logging.getLogger("rlp_bench").warning(
                f'warning: checkpoint "{folder}" is damaged ({fault}); the stage goes on from the one before, or '
                "starts again"
            )
    return 0, {}


def _load(path: Path, modules: Mapping[str, Module], optimizer: Optimizer) -> None:
    with safe_open(path, framework="pt") as file:
        for name, parameter in _parameters(modules).items():
            local(parameter.data).copy_(file.get_tensor(name))
        for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
            if key.startswith("adam/"):
                _, index, moment = key.split("/")
                owner = optimizer.parameters[int(index)]
                optimizer.adam.state[owner][moment] = _like(owner, file.get_tensor(key))


def _newest_first(scratch: Path) -> list[Path]:
    found = [folder for folder in scratch.glob(f"{PREFIX}*") if folder.name.removeprefix(PREFIX).isdecimal()]
    return sorted(found, key=lambda folder: int(folder.name.removeprefix(PREFIX)), reverse=True)


def _fault(folder: Path, path: Path) -> str:
    """Why this process cannot resume from a checkpoint; empty if it can."""
    for file in (folder / STATE, path):
        hashed = file.with_name(f"{file.name}.sha256")
        try:
            with file.open("rb") as data:
                digest = hashlib.file_digest(data, "sha256").hexdigest()
            # Checkpoints of earlier versions have no hashes: they must at least be readable.
            if hashed.exists() and hashed.read_text(encoding="ascii") != digest:
                return f"{file.name} is not what was written"
        except (OSError, ValueError) as error:
            return f"{file.name} cannot be read ({type(error).__name__})"
    try:
        if not isinstance(json.loads((folder / STATE).read_text(encoding="utf-8")), dict):
            return f"{STATE} is not a JSON object"
        with safe_open(path, framework="pt"):
            return ""
    except (OSError, ValueError, SafetensorError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"


def _write_hash(path: Path) -> None:
    """Syncs a file to disk and writes its sha256 beside it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_text(path.with_name(f"{path.name}.sha256"), digest)


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
