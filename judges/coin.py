"""A judge that flips a fair coin for every ordered pair, the baseline that any judge must beat."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import Pair, UnknownName, Verdict, content_id


class Coin:
    """0 or 1, a function of the pair, its order and the seed: about 50 % wins, both orders agree half of the time."""

    name = "coin"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        if argument:
            raise UnknownName(f'judge "coin:{argument}": takes no argument')

    def manifest(self) -> Mapping[str, Any]:
        """Name and version; there are no options."""
        return {"name": self.name, "version": self.version, "noise": 0.0, "scale": "binary"}

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair, 0 or 1."""
        draws = [content_id(f"coin {seed}", p.instruction, p.input, p.first, p.second) for p in pairs]
        return [Verdict(float(int(draw, 16) % 2)) for draw in draws]
