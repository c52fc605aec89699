"""Names and shapes of a checkpoint's tensors, read from the headers of its safetensors files without their data."""

import json
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError

HEADER_BYTES = 8
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def tensors_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the safetensors files of a checkpoint folder; empty if there are none.

    Read are model.safetensors, else the shards of the index, else all *.safetensors.

    Raises:
        DataError: a file is damaged or cut off, or a shard or a tensor of the index is missing.
    """
    if (folder / INDEX).is_file() and not (folder / WHOLE).is_file():
        return _sharded(folder)
    found: dict[str, tuple[int, ...]] = {}
    for path in [folder / WHOLE] if (folder / WHOLE).is_file() else sorted(folder.glob("*.safetensors")):
        found |= _tensors_of_file(path)
    return found


def _sharded(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the index, read from its shards."""
    try:
        shard_of: Mapping[str, str] = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        shards = sorted({Path(str(name)).name for name in shard_of.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'checkpoint "{folder}": {INDEX} cannot be read ({error!r}); expected {{"weight_map": {{tensor: shard}}}}; '
            "copy it again"
        ) from None
    absent = [name for name in shards if not (folder / name).is_file()]
    if absent:
        raise DataError(
            f'checkpoint "{folder}": {len(absent)} of {len(shards)} shards in {INDEX} are missing '
            f"({first_names(absent)}); copy or download them again"
        )
    found: dict[str, tuple[int, ...]] = {}
    for name in shards:
        found |= _tensors_of_file(folder / name)
    lost = sorted(set(shard_of) - set(found))
    if lost:
        raise DataError(
            f'checkpoint "{folder}": {len(lost)} tensors in {INDEX} are in no shard ({first_names(lost)}); index and '
            "shards are of different checkpoints; copy them again"
        )
    return found


def first_names(names: list[str], shown: int = 3) -> str:
    """The first names of a list, for an error message."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _tensors_of_file(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        stat = path.stat()
        return _read_header(path, stat.st_size, stat.st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise DataError(
            f'"{path}": not a whole safetensors file ({error}); copy it again, or run its stage again'
        ) from None


@cache
def _read_header(path: Path, size: int, changed: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape; the file starts with 8 bytes, the length of a JSON header {name: {dtype, shape, data_offsets}}."""
    with path.open("rb") as file:
        [length] = struct.unpack("<Q", file.read(HEADER_BYTES))
        if length > size - HEADER_BYTES:
            raise ValueError("header is longer than the file")
        header: dict[str, Any] = json.loads(file.read(length))
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    expected = (
        HEADER_BYTES + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    )
    if size != expected:
        raise ValueError(f"{size} bytes, its header says {expected}")
    return {name: tuple(entry["shape"]) for name, entry in entries.items()}
