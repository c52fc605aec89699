"""The table of accelerators, and what of it holds for a recipe."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlp_bench.api.errors import BenchError, nearest

TABLE = Path(__file__).parent / "accelerators.toml"
RESERVED = 0.05
"""Share of a device's memory that no tensor gets: the driver's context and what fragments. Assumed."""
BETWEEN_NODES = 25e9
"""Bytes a second that each device adds to what leaves its node: a 200 Gb/s adapter (Azure ND A100 v4). Assumed."""


@dataclass(frozen=True)
class Accelerator:
    """One device. Rates are FLOP/s and bytes a second; shares in [0, 1]."""

    name: str
    bf16: float
    fp32: float
    memory: float
    bandwidth: float
    link: float
    share: float
    bandwidth_share: float
    launch_seconds: float

    @property
    def room(self) -> float:
        """Bytes that tensors may take."""
        return self.memory * (1 - RESERVED)

    def speed(self, precision: str) -> float:
        """FLOP/s that training gets."""
        return self.share * (self.bf16 if precision == "bf16" else self.fp32)


def names() -> list[str]:
    """The accelerators that can be named."""
    return list(_table())


def accelerator(name: str, threads: int = 1) -> Accelerator:
    """An accelerator by name; "cpu" is so many cores of this machine and all its memory.

    Raises:
        BenchError: there is none of that name.
    """
    if name not in _table():
        raise BenchError(f'compute.accelerator: there is no "{name}" in the table; {nearest(name, names())}')
    found = dict(_table()[name])
    if name == "cpu":
        import psutil

        found |= {rate: found[rate] * threads for rate in ("bf16", "fp32", "bandwidth")}
        found["memory"] = float(psutil.virtual_memory().total)
    return Accelerator(name, **found)


@cache
def _table() -> dict[str, dict[str, float]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
