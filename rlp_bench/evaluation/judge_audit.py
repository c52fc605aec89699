"""Audit of a judge: accuracy on labeled pairs, and agreement with itself.

Every pair is shown in both orders. As in `eval`, a pair counts only if both orders have a verdict. Missing verdicts are
neither right nor wrong but counted by reason; more than 1 % of them is an error unless allowed.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rlp_bench.api.protocols import Judge, Progress
from rlp_bench.api.types import LabeledPair, Pair, Verdict
from rlp_bench.evaluation.resolve import rows_left_out
from rlp_bench.evaluation.verdicts import ask_judge
from rlp_bench.evaluation.win_rate_report import outcomes, refuse_missing
from rlp_bench.statistics import Estimate, estimate_mean, pairwise_credit

Round = tuple[list[Verdict], list[Verdict]]
"""A judge's verdicts on every pair as given and swapped; each is about the answer shown first."""
Judged = tuple[LabeledPair, tuple[float, float]]
"""A pair and its two preferences for the answer shown first: first output_1, then output_2."""


def audit(
    judge: Judge,
    items: Sequence[LabeledPair],
    progress: Progress,
    repeats: int = 1,
    *,
    allow_missing: bool = False,
) -> dict[str, Any]:
    """The report on labeled pairs, overall and by subset.

    Returns:
        `statistics`: see `statistics`. `accuracy` with interval (a tie is half right), `coverage` and `n_scored` as in
        `eval`, `first_preferred`, `longest` (the length rule on the same pairs), `self_agreement` over repeats,
        `adversarial_mean`, `mirrored` (duplicates of pairs in either order), and `as_stored`: the statistics that the
        source of replayed verdicts computes by its own rule; empty if it has none.

    Raises:
        DataError: no pair has a verdict in both orders, or more than 1 % have none without `allow_missing`.
    """
    rounds = [_both_orders(judge, items, seed, progress) for seed in range(repeats)]
    for given, swapped in reversed(rounds):
        scores = [in_both_orders(p, q) for p, q in zip(given, swapped, strict=True)]
        counts = outcomes(scores)
        refuse_missing(
            scores,
            counts,
            judge.name,
            what="pairs",
            allow_missing=allow_missing,
            excused=rows_left_out(judge),
        )
    judged = [(i, row["score"]) for i, row in zip(items, scores, strict=True) if row["score"] is not None]
    groups: dict[str, list[Judged]] = {item.subset: [] for item in items}
    for item, score in judged:
        groups[item.subset].append((item, score))
    by_subset = {name: statistics(pairs) for name, pairs in groups.items()}
    adversarial = [s for name, s in by_subset.items() if name and name.lower() != "natural"]
    preferences = [preference for _, score in judged for preference in score]
    return {
        "judge": dict(judge.manifest()),
        "n": len(items),
        "n_scored": len(judged),
        "coverage": counts,
        "statistics": statistics(judged),
        "as_stored": dict(getattr(judge, "own_statistics", dict)()),
        "accuracy": percent([_right(item, score) for item, score in judged]),
        "first_preferred": _mean(preferences),
        "ties": sum(p == 0.5 for p in preferences),
        "longest": 100 * sum(_longest(item) for item, _ in judged) / len(judged),
        "subsets": by_subset,
        "adversarial_mean": _mean([s["correct_average"] for s in adversarial]) if all(adversarial) else None,
        "self_agreement": _self_agreement(rounds),
        "mirrored": _mirrored(items),
    }


def statistics(judged: Sequence[Judged]) -> dict[str, float]:
    """Percent of the pairs with a verdict in both orders, with the keys of LLMBar's statistics.json; {} without pairs.

    correct_False, correct_True: right as given and swapped; correct_average: mean of both; correct_both: right in both;
    equal: the same winner in both; a tie is half right. Departs: LLMBar counts a missing verdict as wrong and two of
    them as equal; here they are left out. Without missing verdicts the figures are the same.
    """
    if not judged:
        return {}
    right = [credit(given, item.label == 1) for item, (given, _) in judged]
    turned = [credit(swapped, item.label == 2) for item, (_, swapped) in judged]
    equal = [_winner(given, False) == _winner(swapped, True) for _, (given, swapped) in judged]
    n = len(judged)
    return {
        "correct_False": 100 * sum(right) / n,
        "correct_True": 100 * sum(turned) / n,
        "correct_average": 100 * (sum(right) + sum(turned)) / (2 * n),
        "correct_both": 100 * sum(a == b == 1 for a, b in zip(right, turned, strict=True)) / n,
        "equal": 100 * sum(equal) / n,
    }


def in_both_orders(given: Verdict, swapped: Verdict) -> dict[str, Any]:
    """{"score": the two preferences for the answer shown first}; None with a "reason" if a verdict is missing."""
    if given.preference is None or swapped.preference is None:
        silent = given if given.preference is None else swapped
        return {"score": None, "reason": silent.reason or "unparsed"}
    return {"score": (given.preference, swapped.preference)}


def _right(item: LabeledPair, score: tuple[float, float]) -> float:
    """Credit of a pair, averaged over both orders: the unit of analysis of the interval."""
    return (credit(score[0], item.label == 1) + credit(score[1], item.label == 2)) / 2


def _both_orders(judge: Judge, items: Sequence[LabeledPair], seed: int, progress: Progress) -> Round:
    pairs = [Pair(item.instruction, item.output_1, item.output_2) for item in items]
    pairs += [Pair(item.instruction, item.output_2, item.output_1) for item in items]
    verdicts = ask_judge(judge, pairs, seed, progress)
    return verdicts[: len(items)], verdicts[len(items) :]


def credit(preference: float, first_is_right: bool) -> float:
    """1 if the better answer is preferred, 0 if the other is, 0.5 for a tie; for judges and annotators."""
    return pairwise_credit(preference, 0.5, first_is_right)


def _winner(preference: float, swapped: bool) -> int:
    """The preferred output, 1 or 2; 0 for a tie."""
    if preference == 0.5:
        return 0
    return 1 if (preference > 0.5) != swapped else 2


def _self_agreement(rounds: Sequence[Round]) -> float | None:
    """Percent of equal winners between repeats of the same pair in the same order, where both have a verdict.

    None if there are no such repeats.
    """
    winners = [
        [None if v.preference is None else _winner(v.preference, False) for v in (*given, *swapped)]
        for given, swapped in rounds
    ]
    same = [
        a == b
        for i, one in enumerate(winners)
        for other in winners[i + 1 :]
        for a, b in zip(one, other, strict=True)
        if a is not None and b is not None
    ]
    return 100 * sum(same) / len(same) if same else None


def _mirrored(items: Sequence[LabeledPair]) -> int:
    """Number of duplicate pairs in the data, in either order."""
    seen = Counter((item.instruction, frozenset((item.output_1, item.output_2))) for item in items)
    return sum(count - 1 for count in seen.values())


def _longest(item: LabeledPair) -> float:
    return credit(longer_first(item.output_1, item.output_2), item.label == 1)


def longer_first(first: str, second: str) -> float:
    """The length rule's preference for the first: 1 if it has more characters, 0 if fewer, 0.5 if equal."""
    gap = len(first) - len(second)
    return 0.5 if gap == 0 else float(gap > 0)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def percent(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"mean": None, "n": 0}
    e: Estimate = estimate_mean(values)
    error = 100 * e.se if e.n > 1 else None
    return {"mean": 100 * e.mean, "standard_error": error, "ci95": [100 * e.low, 100 * e.high], "n": e.n}
