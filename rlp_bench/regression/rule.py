"""The rule of the gate, and its verdict on each suite and overall.

A suite gates if it has at least 300 items or a margin is given for it, but never if its items are part of another
suite. Each gating suite has two tests, both one-sided and paired over the same items:

1. Superiority of the baseline: p of the null "not worse" (`regression.paired`), Holm-corrected over gating suites, 5 %.
2. Non-inferiority: the lower bound of the one-sided 95 % interval is above -margin.

regression    1 rejects "not worse", and 2 does not exclude a loss of the margin or more
pass          2 excludes a loss of the margin or more, whatever the result of 1: a smaller loss is allowed
inconclusive  neither; the smallest detectable loss is reported

Rationale. A fixed "drop of 2 points" gives false alarms in 17 % of null runs with 805 items and in 40 % with 80,
because it ignores the noise; test 1 gives 5 % for any number of items (`benchmarks/null_simulation.py`). Test 2 alone
would call every small suite a regression, or every noisy one a pass. A significant loss below the margin passes, as a
margin allows it; this can only lower the false-alarm rate, and does so where the margin is more than 3.3 standard
errors. Holm's correction keeps the probability of any false alarm over all gating suites at 5 %. "pass" needs no
correction, because every gating suite must pass.

Overall verdict, by precedence: incomparable, error, regression, inconclusive, pass.
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
"""Percentage points."""
GATING_ITEMS = 300
"""Fewer items cannot detect a loss of 5 points (20 % power with 100); such a suite gates only with a margin."""
MISSING_LIMIT = 0.01
"""Maximum fraction of items without a score; above it the verdict is "error"."""
EXIT = {"pass": 0, "regression": 1, "error": 2, "incomparable": 3, "inconclusive": 4}
Margins = Mapping[str, float]
"""Suite -> percentage points, for margins given by the user."""


@dataclass(frozen=True)
class SuiteVerdict:
    """The verdict on one suite. Values are fractions; points and percent only when printed."""

    alias: str
    verdict: str
    """"regression", "pass", "inconclusive", "error", "incomparable"; "reported" if it does not gate."""
    reason: str
    margin: float | None
    """Percentage points; None if the suite does not gate."""
    test: Paired | None
    p_holm: float | None
    about: Mapping[str, Any]
    """"baseline" and "candidate": each items, missing, unparsed, ties, position_gap, length; and "length_unit"."""


@dataclass(frozen=True)
class Outcome:
    """The verdict of the gate."""

    verdict: str
    reasons: Sequence[str]
    suites: Sequence[SuiteVerdict]
    differing: Sequence[Named]
    changed: Sequence[Named]
    strict: bool = False

    @property
    def status(self) -> int:
        """The exit status; an inconclusive verdict fails only with --strict."""
        if self.verdict == "inconclusive" and not self.strict:
            return 0
        return EXIT[self.verdict]


def is_regression(p: Any, bound_points: Any, margin_points: Any) -> Any:
    """Whether the candidate is worse and a loss of the margin or more is not excluded. Numbers or arrays."""
    return (p <= ALPHA) & (bound_points <= -margin_points)


def decide(p: float, bound_points: float, margin_points: float) -> str:
    """ "regression", "pass" or "inconclusive", for one gating suite."""
    if is_regression(p, bound_points, margin_points):
        return "regression"
    return "pass" if bound_points > -margin_points else "inconclusive"


def read_margins(given: Sequence[str], baseline: Snapshot) -> dict[str, float]:
    """Suite -> points, from SUITE=POINTS on the command line.

    Raises:
        BenchError: an argument is malformed, or its suite is unknown or never gates.
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
    """The margin in points; None if the suite does not gate."""
    if suite.is_subset:
        return None
    return margins.get(alias, DEFAULT_MARGIN if len(suite.scores) >= GATING_ITEMS else None)


def judge_candidate(
    baseline: Snapshot, candidate: Snapshot, margins: Margins, *, exact: bool = False, strict: bool = False
) -> Outcome:
    """The verdict on a candidate.

    Args:
        exact: every suite gates, and any item whose score differs is a regression.
        strict: an inconclusive verdict fails.

    Raises:
        DataError: no suite gates.
    """
    gates = {alias: margin_of(alias, suite, margins) for alias, suite in baseline.suites.items()}
    if not exact and all(margin is None for margin in gates.values()):
        raise DataError(
            f"no suite gates: {', '.join(gates)} have fewer than {GATING_ITEMS} items or are part of another suite; "
            "give --margin SUITE=POINTS"
        )
    differing, may = differences(baseline, candidate), changed(baseline, candidate)
    if differing:
        rows = [_incomparable(alias, gates[alias], differing) for alias in gates]
        reasons = [difference_line(difference) for difference in differing]
        return Outcome("incomparable", reasons, rows, differing, may, strict)
    both = {alias: (suite, candidate.suites[alias]) for alias, suite in baseline.suites.items()}
    rows = [_exact(alias, *pair) for alias, pair in both.items()] if exact else _tested(both, gates)
    verdicts = {row.verdict for row in rows}
    verdict = next((one for one in ("error", "regression", "inconclusive") if one in verdicts), "pass")
    reasons = [f'suite "{row.alias}": {row.reason}' for row in rows if row.verdict == verdict]
    return Outcome(verdict, reasons, rows, [], may, strict)


def difference_line(difference: Named) -> str:
    """A difference as one line of text."""
    old, new = (_short(difference[side]) for side in ("baseline", "candidate"))
    return f'suite "{difference["suite"]}": {difference["field"]} differs: baseline {old}, candidate {new}'


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _incomparable(alias: str, margin: float | None, differing: Sequence[Named]) -> SuiteVerdict:
    mine = [difference_line(one).partition(": ")[2] for one in differing if one["suite"] == alias]
    verdict, reason = ("incomparable", "; ".join(mine)) if mine else ("reported", "comparable")
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
    """Why a suite cannot be tested; empty if it can."""
    if len(set(baseline.scored) & set(candidate.scored)) < 2:
        return "fewer than two items have a score on both sides"
    lost, n = candidate.unscored, len(candidate.scores)
    if lost <= MISSING_LIMIT * n:
        return ""
    return (
        f"{lost} of {n} items have no score ({candidate.unparsed} unparsed), more than "
        f"{100 * MISSING_LIMIT:.0f} %: an error, not a score; check the judge, then evaluate again"
    )


def _why_not(suite: Suite) -> str:
    if suite.is_subset:
        return str(suite.facts["evidence"])
    return f"fewer than {GATING_ITEMS} items: does not gate without a margin"


def _because(verdict: str, test: Paired, p: float, margin: float) -> str:
    effect = f"{100 * test.difference:+.2f} points, p {p:.2g}"
    if verdict == "regression":
        return f"worse ({effect}), and a loss of {margin:g} points or more is not excluded"
    if verdict == "pass":
        small = "; worse, by less than the margin" if p <= ALPHA else ""
        return f"a loss of {margin:g} points or more is excluded ({effect}{small})"
    return (
        f"neither worse ({effect}) nor shown to be within {margin:g} points; the smallest detectable loss is "
        f"{100 * test.detectable:.1f} points"
    )


def _exact(alias: str, baseline: Suite, candidate: Suite) -> SuiteVerdict:
    moved = [item for item, score in baseline.scores.items() if candidate.scores[item] != score]
    enough = len(set(baseline.scored) & set(candidate.scored)) >= 2
    test = compare_scores(candidate.scored, baseline.scored) if enough else None
    reason = "every item has the accepted score"
    if moved:
        reason = (
            f"{len(moved)} of {len(baseline.scores)} items have another score, first {min(moved)}; if that is "
            "intended, accept it with `rlp-bench baseline accept --reason`"
        )
    verdict = "regression" if moved else "pass"
    return SuiteVerdict(alias, verdict, reason, 0.0, test, None, _about(baseline, candidate))


def _about(baseline: Suite, candidate: Suite) -> dict[str, Any]:
    """Missing scores, ties, position gap and lengths of both sides; lengths over items that both sides have."""
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
