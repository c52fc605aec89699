"""Names and shapes of the tensors in safetensors files, read from their headers."""

import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError

HEADER_BYTES = 8


def tensors_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the safetensors files of a checkpoint folder; empty if there are none.

    Raises:
        DataError: a header cannot be read.
    """
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= _tensors_of_file(path)
    return found


@cache
def _tensors_of_file(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape; the file starts with 8 bytes, the length of a JSON header {name: {dtype, shape, data_offsets}}."""
    try:
        with path.open("rb") as file:
            [length] = struct.unpack("<Q", file.read(HEADER_BYTES))
            if length > path.stat().st_size:
                raise ValueError("header is longer than the file")
            header: dict[str, Any] = json.loads(file.read(length))
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise DataError(
            f'"{path}": not a safetensors file ({error}); remove it and run its stage again'
        ) from None
