"""The table of accelerators."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlp_bench.api.errors import BenchError, nearest

TABLE = Path(__file__).parent / "accelerators.toml"
RESERVED = 0.05
"""Fraction of a device's memory not available to tensors: driver context and fragmentation. Assumed."""
BETWEEN_NODES = 25e9
"""Inter-node bandwidth per device, bytes per second: a 200 Gb/s adapter (Azure ND A100 v4). Assumed."""


@dataclass(frozen=True)
class Accelerator:
    """One device. Rates are FLOP/s and bytes per second; shares are fractions of the peak in [0, 1]."""

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
        """Bytes available to tensors."""
        return self.memory * (1 - RESERVED)

    def speed(self, precision: str) -> float:
        """Achieved FLOP/s in training."""
        return self.share * (self.bf16 if precision == "bf16" else self.fp32)


def names() -> list[str]:
    """The names in the table of accelerators."""
    return list(_table())


def accelerator(name: str, threads: int = 1) -> Accelerator:
    """An accelerator by name; "cpu" is `threads` cores of this machine and all its memory.

    Raises:
        BenchError: no accelerator has that name.
    """
    if name not in _table():
        raise BenchError(f'compute.accelerator: "{name}" is not in the table; {nearest(name, names())}')
    found = dict(_table()[name])
    if name == "cpu":
        import psutil

        found |= {rate: found[rate] * threads for rate in ("bf16", "fp32", "bandwidth")}
        found["memory"] = float(psutil.virtual_memory().total)
    return Accelerator(name, **found)


@cache
def _table() -> dict[str, dict[str, float]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
