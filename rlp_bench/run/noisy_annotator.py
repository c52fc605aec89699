"""The annotator of a recipe: a judge whose labels are flipped with a given probability.

Source: AlpacaFarm (Dubois et al. 2023, arXiv 2305.14387, section 3.1): 25 % of the training labels are
flipped, none in evaluation, so that simulated labels disagree with each other as human labels do.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlp_bench.api.protocols import Judge
from rlp_bench.api.types import Pair, Verdict, content_id


class NoisyAnnotator:
    """A judge with label noise; implements `api.Judge`."""

    def __init__(self, judge: Judge, noise: float) -> None:
        self.inner = judge
        self.noise = noise
        self.name = judge.name
        self.version = judge.version

    def manifest(self) -> Mapping[str, Any]:
        """The judge's manifest and the noise level."""
        return {"judge": dict(self.inner.manifest()), "noise": self.noise}

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """The judge's verdicts, each flipped (p -> 1 - p) with probability `noise`; None stays None."""
        verdicts = self.inner.judge(pairs, seed)
        return [
            _flipped(verdict) if draw(pair, seed) < self.noise else verdict
            for pair, verdict in zip(pairs, verdicts, strict=True)
        ]


def draw(pair: Pair, seed: int) -> float:
    """A pseudo-random number in [0, 1) from the question, the unordered pair of answers, and the seed."""
    answers = sorted((pair.first, pair.second))
    key = content_id(pair.instruction, pair.input, *answers, f"label noise {seed}")
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


def _flipped(verdict: Verdict) -> Verdict:
    if verdict.preference is None:
        return verdict
    return replace(verdict, preference=1.0 - verdict.preference)
