"""Claims of a paper as data, and what a matrix of runs says to each: replicated, contradicted or inconclusive."""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench.analysis.compare import ByMethod
from rlp_bench.api.errors import DataError
from rlp_bench.statistics import (
    Difference,
    Scores,
    holm,
    paired_difference_over_seeds,
    paired_differences,
    smallest_detectable_difference,
)

FILE = Path(__file__).parent / "claims_rlp.toml"


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper that two methods' scores can bear out or not: the candidate is the better."""

    id: str
    table: str
    text: str
    candidate: str
    baseline: str
    suite: str = ""
    """Alias of a recipe's suite; empty for preference_accuracy."""
    judge: str = ""
    """A second judge; empty: the recipe's own."""
    subset: str = ""
    metric: str = "score"
    """"score" (win rate or accuracy of a suite) or "preference_accuracy"."""
    published: tuple[float, ...] = ()
    """(candidate, baseline), percent; empty where the value is not at hand."""
    n: int = 0
    """Items behind the published values, one run each."""

    @property
    def published_effect(self) -> float | None:
        """Candidate minus baseline, points."""
        return self.published[0] - self.published[1] if self.published else None

    @property
    def published_detectable(self) -> float | None:
        """The smallest difference that the paper's own comparison would find in 80 % of repetitions, points.

        Two runs of n binary items, treated as independent; the per-item standard deviation from the published rates.
        Seeds, which the paper does not vary, would make it larger.
        """
        if not self.published or not self.n:
            return None
        variance = sum(rate / 100 * (1 - rate / 100) for rate in self.published)
        return 100 * smallest_detectable_difference(math.sqrt(variance), self.n)


def load_claims(path: Path = FILE) -> list[Claim]:
    """The claims of a file.

    Raises:
        DataError: the file is no TOML, or a claim has another key or lacks one.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
        claims = [Claim(**{**row, "published": tuple(row.get("published", ()))}) for row in rows]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f'claims "{path.name}": {error}; expected [[claim]] tables as in claims_rlp.toml'
        ) from None
    twice = {claim.id for claim in claims if [c.id for c in claims].count(claim.id) > 1}
    if twice:
        raise DataError(
            f'claims "{path.name}": id {", ".join(sorted(twice))} is there twice; give each its own'
        )
    return claims


def judge_claims(claims: Sequence[Claim], scores: Callable[[Claim], ByMethod]) -> list[dict[str, Any]]:
    """One row a claim: effect in points, 95 % interval, p, Holm's p over all claims that could be tested, verdict.

    Args:
        scores: what a claim is tested on: method -> seed -> item -> score in [0, 1].
    """
    found = [_difference(claim, scores(claim)) for claim in claims]
    adjusted = iter(holm([d.p for d in found if d is not None]))
    return [
        _row(claim, d, None if d is None else next(adjusted)) for claim, d in zip(claims, found, strict=True)
    ]


def _difference(claim: Claim, scores: ByMethod) -> Difference | None:
    candidate, baseline = scores.get(claim.candidate), scores.get(claim.baseline)
    if not candidate or not baseline or not set(candidate) & set(baseline):
        return None
    if claim.metric == "preference_accuracy":
        return over_seeds(candidate, baseline)
    return paired_difference_over_seeds(candidate, baseline)


def over_seeds(candidate: Mapping[int, Scores], baseline: Mapping[int, Scores]) -> Difference | None:
    """Difference of means that are over other items in each: paired by seed alone, Student's t over seeds."""
    if len(set(candidate) & set(baseline)) < 2:
        return None
    table = {"candidate": candidate, "baseline": baseline}
    return paired_differences(table, [("candidate", "baseline")], same_items=False)[0]


def _row(claim: Claim, d: Difference | None, p_holm: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": claim.id,
        "table": claim.table,
        "text": claim.text,
        "published": list(claim.published) or None,
        "published_effect": claim.published_effect,
        "published_detectable": claim.published_detectable,
    }
    if d is None or p_holm is None:
        return {**row, "verdict": "not run"}
    return {
        **row,
        "effect": 100 * d.mean,
        "ci95": [100 * d.low, 100 * d.high],
        "p": d.p,
        "p_holm": p_holm,
        "n_items": d.n,
        "detectable": 100 * d.detectable(),
        "verdict": verdict(d.mean, p_holm),
    }


def verdict(effect: float, p_holm: float) -> str:
    """Replicated: the candidate is better; contradicted: it is worse; else inconclusive. Level .05 after Holm."""
    if p_holm >= 0.05:
        return "inconclusive"
    return "replicated" if effect > 0 else "contradicted"


def counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many claims have each verdict."""
    return {name: sum(row["verdict"] == name for row in rows) for name in VERDICTS}


VERDICTS = ("replicated", "contradicted", "inconclusive", "not run")
