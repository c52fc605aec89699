"""The verdict on every claim: replicated, contradicted, smaller or larger than published, or inconclusive.

Two hypotheses are tested per claim, "the difference is 0" and "the difference is as published"; at most one is true.
Primary and exploratory claims are two families, each with family-wise error rate .05 (`statistics.step_down`). A claim
that is part of another claim, or on the same numbers, is shown without a test. All terms: docs/statistics.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlp_bench.analysis.claims import Claim
from rlp_bench.analysis.compare import ByMethod, as_points
from rlp_bench.statistics import ALPHA, Adjusted, Difference, paired_differences, step_down

UNTESTED = "no test of its own"
SMALLER, LARGER = "smaller than published", "larger than published"
VERDICTS = ("replicated", "contradicted", SMALLER, LARGER, "inconclusive", UNTESTED, "not run")
PRIMARY, EXPLORATORY = "primary", "exploratory"


def judge_claims(claims: Sequence[Claim], scores: Callable[[Claim], ByMethod]) -> list[dict[str, Any]]:
    """One row per claim: effect in points, 95 % interval, p, corrected p, verdict, detectable effect, seeds needed.

    Args:
        scores: gives the data of a claim, method -> seed -> item -> score in [0, 1], for all methods of the matrix,
            because between-seed variances are shrunk over them.
    """
    found = _differences(claims, scores)
    tests: dict[tuple[str, str], Adjusted] = {}
    for name in (PRIMARY, EXPLORATORY):
        tests |= _tests([(c, d) for c in claims if (d := found[c.id]) and family(c) == name])
    return [_row(claim, found[claim.id], tests) for claim in claims]


def family(claim: Claim) -> str:
    """ "primary", "exploratory", "part of ID" or "same as ID"."""
    if claim.same_as:
        return f"same as {claim.same_as}"
    if claim.part_of:
        return f"part of {claim.part_of}"
    return PRIMARY if claim.primary else EXPLORATORY


def _differences(
    claims: Sequence[Claim], scores: Callable[[Claim], ByMethod]
) -> dict[str, Difference | None]:
    """Claim id -> its difference, None if not run; claims on the same data share one table."""
    found: dict[str, Difference | None] = dict.fromkeys(claim.id for claim in claims)
    tables: dict[tuple[str, str, str, str], list[Claim]] = {}
    for claim in claims:
        tables.setdefault(claim.data, []).append(claim)
    for asked in tables.values():
        table = scores(asked[0])
        same_items = asked[0].metric == "score"
        least = 1 if same_items else 2  # one seed with different items gives no test
        tried = [
            c for c in asked if len(set(table.get(c.candidate, {})) & set(table.get(c.baseline, {}))) >= least
        ]
        pairs = [(c.candidate, c.baseline) for c in tried]
        known = paired_differences(table, pairs, same_items=same_items)
        found.update(zip((c.id for c in tried), known, strict=True))
    return found


def _tests(tried: Sequence[tuple[Claim, Difference]]) -> dict[tuple[str, str], Adjusted]:
    """(claim id, "zero" or "published") -> its test, corrected within the family."""
    asked = [((c.id, "zero"), d.p) for c, d in tried]
    asked += [((c.id, "published"), d.p_of(c.published_effect / 100)) for c, d in tried if c.published_effect]
    found = step_down([p for _, p in asked], [claim for (claim, _), _ in asked])
    return {key: test for (key, _), test in zip(asked, found, strict=True)}


def _row(claim: Claim, d: Difference | None, tests: Mapping[tuple[str, str], Adjusted]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": claim.id,
        "table": claim.table,
        "text": claim.text,
        "family": family(claim),
        "published": list(claim.published) or None,
        "published_effect": claim.published_effect,
        "published_detectable": claim.published_detectable,
    }
    if d is None:
        return {**row, "verdict": "not run", "size": ""}
    points = as_points(d)
    row |= {"effect": points.pop("difference"), **points, "seeds": d.seeds}
    zero, published = (tests.get((claim.id, name)) for name in ("zero", "published"))
    if zero is None:
        return {**row, "p_holm": None, "detectable": 100 * d.detectable(), "verdict": UNTESTED, "size": ""}
    effect = None if published is None else claim.published_effect
    size = size_of(100 * d.mean, effect, 1.0 if published is None else published.p)
    return {
        **row,
        "p_holm": zero.p,
        "p_published": None if published is None else published.p,
        "level": zero.level,
        "detectable": 100 * d.detectable(zero.level),
        "verdict": verdict(100 * d.mean, zero.p, size),
        "size": size,
        "seeds_needed": _seeds_needed(d, zero, published, claim.published_effect),
    }


def verdict(effect: float, p_holm: float, size: str = "") -> str:
    """The verdict at level .05 after correction: "replicated" if the candidate is better, "contradicted" if worse,
    otherwise `size` or "inconclusive".
    """
    if p_holm < ALPHA:
        return "replicated" if effect > 0 else "contradicted"
    return size or "inconclusive"


def size_of(effect: float, published: float | None, p_published: float) -> str:
    """SMALLER or LARGER if the published effect is excluded, otherwise ""."""
    if published is None or p_published >= ALPHA:
        return ""
    return SMALLER if effect < published else LARGER


def _seeds_needed(
    d: Difference, zero: Adjusted, published: Adjusted | None, effect: float | None
) -> dict[str, int | None]:
    """ "zero" and "published" -> seeds needed to exclude it if the true effect equals the estimate; None: above 1000.

    Hypotheses that are excluded already are left out, and both if there is only one seed.
    """
    found: dict[str, int | None] = {}
    for name, test, value in (("zero", zero, 0.0), ("published", published, effect)):
        if test is None or value is None or test.p < ALPHA or d.seeds < 2:
            continue
        needed = d.seeds_needed(d.mean - value / 100, test.level)
        found[name] = None if math.isinf(needed) else max(int(needed), d.seeds + 1)
    return found


def counts(rows: Sequence[Mapping[str, Any]], of: str | None = None) -> dict[str, int]:
    """Number of claims per verdict, optionally of the family `of` only."""
    return {
        name: sum(row["verdict"] == name and of in (None, row["family"]) for row in rows) for name in VERDICTS
    }
