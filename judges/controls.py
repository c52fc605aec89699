"""Control judges with known results, as baselines for other judges."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import Pair, UnknownName, Verdict, nearest


class Longest:
    """Prefers the answer with more characters; equal lengths tie. The length baseline in every table."""

    name = "longest"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        if argument:
            raise UnknownName(f'judge "longest:{argument}": takes no argument')

    def manifest(self) -> Mapping[str, Any]:
        """Name, version and unit; there are no options."""
        return {
            "name": self.name,
            "version": self.version,
            "unit": "characters",
            "noise": 0.0,
            "scale": "binary",
        }

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair: 1, 0 or .5 by length."""
        gaps = [len(pair.first) - len(pair.second) for pair in pairs]
        return [Verdict(0.5 if gap == 0 else float(gap > 0), raw=f"{gap:+d}") for gap in gaps]


class Constant:
    """Always prefers the same side: "first" (default) or "second". Over both orders it must give exactly 50 %."""

    name = "constant"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        self.side = argument or "first"
        if self.side not in ("first", "second"):
            raise UnknownName(
                f'judge "constant:{argument}": no such side; {nearest(argument, ("first", "second"))}'
            )

    def manifest(self) -> Mapping[str, Any]:
        """Name, version and side."""
        return {
            "name": self.name,
            "version": self.version,
            "side": self.side,
            "noise": 0.0,
            "scale": "binary",
        }

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """The same verdict, 1 or 0, for every pair."""
        return [Verdict(float(self.side == "first"))] * len(pairs)
