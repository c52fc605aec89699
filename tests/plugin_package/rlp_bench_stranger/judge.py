"""A judge that prefers the shorter answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import Pair, Verdict


class Shortest:
    """1 where the first answer is shorter, 0 where it is longer, a tie where they are equally long."""

    name = "stranger_shortest"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        self.argument = argument

    def manifest(self) -> Mapping[str, Any]:
        """There is nothing to set."""
        return {"name": self.name, "version": self.version}

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """Compares lengths in characters."""
        gaps = [len(pair.second) - len(pair.first) for pair in pairs]
        return [Verdict(0.5 if gap == 0 else float(gap > 0)) for gap in gaps]
