"""Judges that must give known results: whoever beats them by little has shown little."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import Pair, UnknownName, Verdict, nearest


class Longest:
    """Prefers the answer with more characters; equal lengths tie. The length baseline of every table."""

    name = "longest"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        if argument:
            raise UnknownName(f'judge "longest:{argument}": takes no argument')

    def manifest(self) -> Mapping[str, Any]:
        """Nothing to set."""
        return {
            "name": self.name,
            "version": self.version,
            "unit": "characters",
            "noise": 0.0,
            "scale": "binary",
        }

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """1, 0 or .5 by length."""
        gaps = [len(pair.first) - len(pair.second) for pair in pairs]
        return [Verdict(0.5 if gap == 0 else float(gap > 0), raw=f"{gap:+d}") for gap in gaps]


class Constant:
    """Always the same side: "first" (default) or "second". In both orders it must come to exactly 50 %."""

    name = "constant"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        self.side = argument or "first"
        if self.side not in ("first", "second"):
            raise UnknownName(
                f'judge "constant:{argument}": no such side; {nearest(argument, ("first", "second"))}'
            )

    def manifest(self) -> Mapping[str, Any]:
        """The side."""
        return {
            "name": self.name,
            "version": self.version,
            "side": self.side,
            "noise": 0.0,
            "scale": "binary",
        }

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """1 or 0 throughout."""
        return [Verdict(float(self.side == "first"))] * len(pairs)
