"""A judge that knows nothing: a fair coin for every pair as it is shown. What any judge must beat."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import Pair, UnknownName, Verdict, content_id


class Coin:
    """0 or 1, by the pair, its order and the seed: near 50 % wins, both orders agree half of the time."""

    name = "coin"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        if argument:
            raise UnknownName(f'judge "coin:{argument}": takes no argument')

    def manifest(self) -> Mapping[str, Any]:
        """Nothing to set."""
        return {"name": self.name, "version": self.version, "noise": 0.0, "scale": "binary"}

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """Heads or tails."""
        draws = [content_id(f"coin {seed}", p.instruction, p.input, p.first, p.second) for p in pairs]
        return [Verdict(float(int(draw, 16) % 2)) for draw in draws]
