"""Stateless random numbers: every draw is a function of the seed and its purpose, so a resumed run draws the same."""

import hashlib
import random


def derived_seed(seed: int, *what: object) -> int:
    """A 63-bit seed for the purpose `what`, the same in every process and on every machine."""
    text = "\x1f".join(map(str, (seed, *what)))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def uniform(seed: int, *what: object) -> float:
    """A uniform number in [0, 1)."""
    return derived_seed(seed, *what) / 2**63


def shuffled(n: int, seed: int, *what: object) -> list[int]:
    """A random permutation of range(n)."""
    order = list(range(n))
    random.Random(derived_seed(seed, *what)).shuffle(order)
    return order


def epoch_batches(n: int, batch: int, epochs: int, seed: int) -> list[list[int]]:
    """Row indices of every update: each epoch is shuffled anew; its last batch may be smaller."""
    updates = []
    for epoch in range(epochs):
        order = shuffled(n, seed, "order", epoch)
        updates += [order[start : start + batch] for start in range(0, n, batch)]
    return updates


def endless_batches(n: int, batch: int, count: int, seed: int) -> list[list[int]]:
    """`count` batches of exactly `batch` indices, from repeated passes over range(n), each shuffled anew."""
    passes = -(-batch * count // n)
    stream = [row for each in range(passes) for row in shuffled(n, seed, "order", each)]
    return [stream[start : start + batch] for start in range(0, batch * count, batch)]
