"""The outcome as JSON values, in percent and points, for --json and all rendered formats."""

from collections.abc import Mapping
from typing import Any

from rlp_bench.regression.rule import ALPHA, Outcome, SuiteVerdict
from rlp_bench.regression.snapshot import Snapshot


def result_of(
    outcome: Outcome,
    baseline: Snapshot,
    about: Mapping[str, Any],
    candidate: Snapshot | None,
    attempts: int,
) -> dict[str, Any]:
    """Everything about an attempt. `candidate` is None if it could not be read."""
    return {
        "verdict": outcome.verdict,
        "exit_status": outcome.status,
        "strict": outcome.strict,
        "alpha": ALPHA,
        "reasons": list(outcome.reasons),
        "baseline": {**about, **baseline.origin},
        "candidate": {} if candidate is None else dict(candidate.origin),
        "suites": [suite_of(one) for one in outcome.suites],
        "not_in_baseline": [a for a in candidate.suites if a not in baseline.suites] if candidate else [],
        "differing": list(outcome.differing),
        "changed": list(outcome.changed),
        "attempts": attempts,
    }


def failed(reason: str, strict: bool) -> Outcome:
    """The outcome of an attempt whose candidate could not be read."""
    return Outcome("error", reason.splitlines(), [], [], [], strict)


def no_candidate(baseline: Snapshot, strict: bool) -> Outcome:
    """The outcome where no run was named and the store has none of the baseline's method and recipe."""
    method, recipe = baseline.origin["method"], baseline.origin["recipe"]
    reason = (
        f"the store has no finished run of {method} on {recipe}, the baseline's method and recipe; make one by "
        f"`rlp-bench run --method {method} --recipe {str(recipe).partition('@')[0]}`, or name the candidate by --run"
    )
    return Outcome("incomparable", [reason], [], [], [], strict)


def suite_of(one: SuiteVerdict) -> dict[str, Any]:
    """The result of one suite, as JSON values."""
    row: dict[str, Any] = {
        "alias": one.alias,
        "verdict": one.verdict,
        "reason": one.reason,
        "gates": one.margin is not None,
        "margin": one.margin,
    }
    test = one.test
    if test is not None:
        row |= {
            "n": test.n,
            "baseline": 100 * test.baseline,
            "candidate": 100 * test.candidate,
            "difference": 100 * test.difference,
            "standard_error": 100 * test.se,
            "ci95": [100 * test.low, 100 * test.high],
            "lower_bound": 100 * test.bound,
            "p": test.p,
            "p_holm": one.p_holm,
            "test": test.test,
            "smallest_detectable_difference": 100 * test.detectable,
            "better": test.better,
            "worse": test.worse,
            "correlation": test.rho,
        }
    for key in ("missing", "unparsed", "ties", "position_gap", "length"):
        if one.about:
            row[key] = {side: one.about[side][key] for side in ("baseline", "candidate")}
    if one.about:
        row["length_unit"] = one.about["length_unit"]
    return row


def attempt_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The history entry of an attempt."""
    keys = ("alias", "verdict", "margin", "n", "difference", "ci95", "p", "p_holm")
    candidate = result["candidate"]
    return {
        "baseline": result["baseline"]["path"],
        "baseline_sha256": result["baseline"]["sha256"],
        "verdict": result["verdict"],
        "exit_status": result["exit_status"],
        "strict": result["strict"],
        "reasons": result["reasons"],
        **{
            key: candidate.get(key)
            for key in ("run", "report", "recipe", "method", "seed", "policy", "versions")
        },
        "suites": [{key: suite[key] for key in keys if key in suite} for suite in result["suites"]],
    }
