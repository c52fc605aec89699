"""Reproducible random numbers: streams and uniform numbers determined by keys, equal in every process."""

from __future__ import annotations

import random
from hashlib import blake2b

_SCALE = 1.0 / 2**64


def number(*keys: object) -> int:
    """A 64-bit integer that depends only on the keys (not on PYTHONHASHSEED)."""
    text = "\x1f".join(map(str, keys))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def uniform(*keys: object) -> float:
    """A number in [0, 1) that depends only on the keys."""
    return number(*keys) * _SCALE


def stream(*keys: object) -> random.Random:
    """A random generator whose seed depends only on the keys."""
    return random.Random(number(*keys))
