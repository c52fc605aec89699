"""The rule of the gate, and its verdict on every suite and on all together.

A suite gates where it has 300 items or more, or where a margin was given for it; where its items lie in another
suite it never does. Each gating suite is asked two questions, both one-sided and paired over the same items:

1. Is the candidate worse? p of "not worse" (`gate.paired`), Holm's correction over the gating suites, 5 %.
2. Is it not worse by the margin or more? The lower bound of the 95 % one-sided interval lies above -margin.

regression    worse by 1, and a loss of the margin or more is not excluded by 2
pass          a loss of the margin or more is excluded by 2, whatever 1 says: a loss this small was allowed
inconclusive  neither; the smallest loss that could have been seen says what would help

Why so. A fixed "drop of 2 points" alarms on 17 % of null runs with 805 items and on 40 % with 80, because it does not
look at the noise; question 1 alarms on 5 % whatever the number of items (`benchmarks/null_simulation.py`). Question 2
alone would call every small suite a regression, or every noisy one a pass. A loss that is certain and smaller than the
margin passes, for that is what a margin means; it can only lower the rate of false alarms, and does so where the
margin is more than 3.3 standard errors. Holm keeps the chance of any false alarm over all gating suites at 5 %. The
verdict "pass" needs no correction: it must be earned by every gating suite.

All together: incomparable before error before regression before inconclusive before pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlp_bench.api.errors import BenchError, DataError, UnknownName, nearest
from rlp_bench.regression.comparable import Named, changed, differences
from rlp_bench.regression.paired import Paired, compare_scores
from rlp_bench.regression.snapshot import Snapshot, Suite
from rlp_bench.statistics import holm

ALPHA = 0.05
DEFAULT_MARGIN = 3.0
"""Points."""
GATING_ITEMS = 300
"""Fewer items cannot show a loss of 5 points (20 % power with 100): a canary, unless a margin is given."""
MISSING_LIMIT = 0.01
"""Share of items without a score above which there is no verdict."""
EXIT = {"pass": 0, "regression": 1, "error": 2, "incomparable": 3, "inconclusive": 4}
Margins = Mapping[str, float]
"""Suite -> points, where a person gave one."""


@dataclass(frozen=True)
class SuiteVerdict:
    """One suite. Points and percent are made where it is printed."""

    alias: str
    verdict: str
    """"regression", "pass", "inconclusive", "error", "incomparable"; "reported" where it does not gate."""
    reason: str
    margin: float | None
    """Points; None where the suite does not gate."""
    test: Paired | None
    p_holm: float | None
    about: Mapping[str, Any]
    """Of "baseline" and "candidate": items, missing, unparsed, ties, position_gap, length; and "length_unit"."""


@dataclass(frozen=True)
class Outcome:
    """What the gate says."""

    verdict: str
    reasons: Sequence[str]
    suites: Sequence[SuiteVerdict]
    differing: Sequence[Named]
    changed: Sequence[Named]
    strict: bool = False

    @property
    def status(self) -> int:
        """Exit status; an inconclusive verdict fails only with --strict."""
        if self.verdict == "inconclusive" and not self.strict:
            return 0
        return EXIT[self.verdict]


def is_regression(p: Any, bound_points: Any, margin_points: Any) -> Any:
    """Worse, and a loss of the margin or more not excluded. Numbers or arrays."""
    return (p <= ALPHA) & (bound_points <= -margin_points)


def decide(p: float, bound_points: float, margin_points: float) -> str:
    """ "regression", "pass" or "inconclusive" of one gating suite."""
    if is_regression(p, bound_points, margin_points):
        return "regression"
    return "pass" if bound_points > -margin_points else "inconclusive"


def read_margins(given: Sequence[str], baseline: Snapshot) -> dict[str, float]:
    """SUITE=POINTS, as the command line gives them.

    Raises:
        BenchError: not of that form, an unknown suite, or one that never gates.
    """
    found = {}
    for text in given:
        alias, sign, value = text.partition("=")
        try:
            points = float(value)
        except ValueError:
            points = 0.0
        if not sign or not 0 < points <= 100:
            raise BenchError(
                f'--margin "{text}": expected SUITE=POINTS with 0 < POINTS <= 100, e.g. alpacafarm=3'
            )
        if alias not in baseline.suites:
            raise UnknownName(f'--margin "{text}": no such suite; {nearest(alias, baseline.suites)}')
        if baseline.suites[alias].is_subset:
            evidence = baseline.suites[alias].facts["evidence"]
            raise BenchError(f'--margin "{text}": never gates ({evidence}); leave it out')
        found[alias] = points
    return found


def margin_of(alias: str, suite: Suite, margins: Margins) -> float | None:
    """Points; None: the suite is reported and does not gate."""
    if suite.is_subset:
        return None
    return margins.get(alias, DEFAULT_MARGIN if len(suite.scores) >= GATING_ITEMS else None)


def judge_candidate(
    baseline: Snapshot, candidate: Snapshot, margins: Margins, *, exact: bool = False, strict: bool = False
) -> Outcome:
    """The verdict. `exact`: every suite gates, and any item whose score is another one is a regression.

    Raises:
        DataError: no suite gates.
    """
    gates = {alias: margin_of(alias, suite, margins) for alias, suite in baseline.suites.items()}
    if not exact and all(margin is None for margin in gates.values()):
        raise DataError(
            f"no suite gates: {', '.join(gates)} have fewer than {GATING_ITEMS} items or lie in another suite; "
            "give --margin SUITE=POINTS"
        )
    differing, may = differences(baseline, candidate), changed(baseline, candidate)
    if differing:
        rows = [_incomparable(alias, gates[alias], differing) for alias in gates]
        reasons = [said(difference) for difference in differing]
        return Outcome("incomparable", reasons, rows, differing, may, strict)
    both = {alias: (suite, candidate.suites[alias]) for alias, suite in baseline.suites.items()}
    rows = [_exact(alias, *pair) for alias, pair in both.items()] if exact else _tested(both, gates)
    verdicts = {row.verdict for row in rows}
    verdict = next((one for one in ("error", "regression", "inconclusive") if one in verdicts), "pass")
    reasons = [f'suite "{row.alias}": {row.reason}' for row in rows if row.verdict == verdict]
    return Outcome(verdict, reasons, rows, [], may, strict)


def said(difference: Named) -> str:
    """A difference in one line."""
    old, new = (_short(difference[side]) for side in ("baseline", "candidate"))
    return f'suite "{difference["suite"]}": {difference["field"]} differs: baseline {old}, candidate {new}'


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _incomparable(alias: str, margin: float | None, differing: Sequence[Named]) -> SuiteVerdict:
    mine = [said(one).partition(": ")[2] for one in differing if one["suite"] == alias]
    verdict, reason = ("incomparable", "; ".join(mine)) if mine else ("reported", "comparable by itself")
    return SuiteVerdict(alias, verdict, reason, margin, None, None, {})


def _tested(both: Mapping[str, tuple[Suite, Suite]], gates: Mapping[str, float | None]) -> list[SuiteVerdict]:
    faults = {alias: _fault(*pair) for alias, pair in both.items()}
    tests = {
        alias: compare_scores(new.scored, old.scored)
        for alias, (old, new) in both.items()
        if not faults[alias]
    }
    family = [alias for alias, margin in gates.items() if margin is not None and alias in tests]
    adjusted = dict(zip(family, holm([tests[alias].p for alias in family]), strict=True))
    rows = []
    for alias, (old, new) in both.items():
        margin, test, p_holm = gates[alias], tests.get(alias), adjusted.get(alias)
        if test is None:
            verdict, reason = ("error" if margin is not None else "reported"), faults[alias]
        elif margin is None or p_holm is None:
            verdict, reason = "reported", _why_not(old)
        else:
            verdict = decide(p_holm, 100 * test.bound, margin)
            reason = _because(verdict, test, p_holm, margin)
        rows.append(SuiteVerdict(alias, verdict, reason, margin, test, p_holm, _about(old, new)))
    return rows


def _fault(baseline: Suite, candidate: Suite) -> str:
    """Why there is no score; empty where there is one."""
    if len(set(baseline.scored) & set(candidate.scored)) < 2:
        return "fewer than two items have a score on both sides"
    lost, n = candidate.unscored, len(candidate.scores)
    if lost <= MISSING_LIMIT * n:
        return ""
    return (
        f"{lost} of {n} items have no score ({candidate.unparsed} unparsed), more than "
        f"{100 * MISSING_LIMIT:.0f} %: an error, not a score; look at the judge, then evaluate again"
    )


def _why_not(suite: Suite) -> str:
    if suite.is_subset:
        return str(suite.facts["evidence"])
    return f"fewer than {GATING_ITEMS} items: a canary"


def _because(verdict: str, test: Paired, p: float, margin: float) -> str:
    effect = f"{100 * test.difference:+.2f} points, p {p:.2g}"
    if verdict == "regression":
        return f"worse ({effect}), and a loss of {margin:g} points or more is not excluded"
    if verdict == "pass":
        small = "; worse, by less than the margin" if p <= ALPHA else ""
        return f"a loss of {margin:g} points or more is excluded ({effect}{small})"
    return (
        f"neither worse ({effect}) nor shown to be within {margin:g} points; a true loss below "
        f"{100 * test.detectable:.1f} points is easily missed"
    )


def _exact(alias: str, baseline: Suite, candidate: Suite) -> SuiteVerdict:
    moved = [item for item, score in baseline.scores.items() if candidate.scores[item] != score]
    enough = len(set(baseline.scored) & set(candidate.scored)) >= 2
    test = compare_scores(candidate.scored, baseline.scored) if enough else None
    reason = "every item has the accepted score"
    if moved:
        reason = (
            f"{len(moved)} of {len(baseline.scores)} items have another score, first {min(moved)}; if that is "
            "meant, `rlp-bench baseline accept --reason` says so"
        )
    verdict = "regression" if moved else "pass"
    return SuiteVerdict(alias, verdict, reason, 0.0, test, None, _about(baseline, candidate))


def _about(baseline: Suite, candidate: Suite) -> dict[str, Any]:
    """Holes, ties, position gap and lengths of both sides; lengths over the items that both answered."""
    units = {suite.facts.get("length_unit") for suite in (baseline, candidate)}
    shared = sorted(set(baseline.lengths) & set(candidate.lengths)) if len(units) == 1 else []
    found: dict[str, Any] = {
        side: {
            "items": len(suite.scores),
            "missing": suite.unscored - min(suite.unparsed, suite.unscored),
            "unparsed": suite.unparsed,
            "ties": sum(score == 0.5 for score in suite.scored.values()) / max(1, len(suite.scored)),
            "position_gap": suite.facts.get("position_gap"),
            "length": sum(suite.lengths[item] for item in shared) / len(shared) if shared else None,
        }
        for side, suite in (("baseline", baseline), ("candidate", candidate))
    }
    return {**found, "length_unit": units.pop() if shared else None}
