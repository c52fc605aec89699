"""Judges the judge: how often it is right where the answer is known, and how far it agrees with itself and people.

Every pair is shown in both orders. No verdict is a case of its own: it is not right, it is counted, and two of them
are "equal" only in the field that LLMBar's own statistics define so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api.protocols import Judge, Progress
from rlp_bench.api.types import LabelledPair, Pair
from rlp_bench.evaluation.verdicts import in_both_orders
from rlp_bench.statistics import Estimate, estimate_mean, pairwise_credit


def audit(
    judge: Judge, items: Sequence[LabelledPair], progress: Progress, repeats: int = 1
) -> dict[str, Any]:
    """The report on labelled pairs, whole and by subset.

    Returns:
        `statistics`: percent, with the keys of LLMBar's statistics.json (its kappas left out: its code computes them
        from the wrong labels): correct_False, correct_True (order given and swapped), correct_average,
        correct_both, equal.
        `accuracy` with interval (ties and missing verdicts count as half and none), `first_preferred`, `unparsed`,
        `longest` (the length rule on the same pairs), `self_agreement` over repeats, `adversarial_mean`.
    """
    rounds = [_both_orders(judge, items, seed, progress) for seed in range(repeats)]
    given, swapped = rounds[0]
    subsets = list(dict.fromkeys(item.subset for item in items))
    places = {name: [i for i, item in enumerate(items) if item.subset == name] for name in subsets}
    by_subset = {
        name: statistics([items[i] for i in at], [given[i] for i in at], [swapped[i] for i in at])
        for name, at in places.items()
    }
    adversarial = [
        s["correct_average"] for name, s in by_subset.items() if name and name.lower() != "natural"
    ]
    return {
        "judge": dict(judge.manifest()),
        "n": len(items),
        "statistics": statistics(items, given, swapped),
        "accuracy": _percent(_right(items, given, swapped)),
        "first_preferred": _mean([p for p in (*given, *swapped) if p is not None]),
        "unparsed": sum(p is None for p in (*given, *swapped)),
        "ties": sum(p == 0.5 for p in (*given, *swapped)),
        "longest": 100 * sum(map(_longest, items)) / len(items),
        "subsets": by_subset,
        "adversarial_mean": sum(adversarial) / len(adversarial) if adversarial else None,
        "self_agreement": _self_agreement(rounds),
    }


def statistics(
    items: Sequence[LabelledPair], given: Sequence[float | None], swapped: Sequence[float | None]
) -> dict[str, float]:
    """LLMBar's five statistics, percent.

    Args:
        given, swapped: preference for the answer shown first, output_1 first and output_2 first; a tie is half right,
            no verdict is not right.
    """
    right = [_credit(p, item.label == 1) for p, item in zip(given, items, strict=True)]
    turned = [_credit(p, item.label == 2) for p, item in zip(swapped, items, strict=True)]
    n = len(items)
    equal = [_winner(p, False) == _winner(q, True) for p, q in zip(given, swapped, strict=True)]
    return {
        "correct_False": 100 * sum(right) / n,
        "correct_True": 100 * sum(turned) / n,
        "correct_average": 100 * (sum(right) + sum(turned)) / (2 * n),
        "correct_both": 100 * sum(a == b == 1 for a, b in zip(right, turned, strict=True)) / n,
        "equal": 100 * sum(equal) / n,
    }


def human_agreement(judge: Judge, humans: Any, progress: Progress) -> dict[str, Any]:
    """How often the judge is of the people's majority, beside one more person and the length rule, percent.

    Args:
        humans: the judge "human" of a file (`rows`, `judge`, `agreement`). Pairs on which people are divided are left
            out and counted.
    """
    pairs = list(dict.fromkeys(_pair_of(row) for row in humans.rows()))
    truth = [verdict.preference for verdict in humans.judge(pairs)]
    decided = [(pair, t) for pair, t in zip(pairs, truth, strict=True) if t is not None and t != 0.5]
    both = in_both_orders(judge, [pair for pair, _ in decided], 0, progress)
    hits = [
        (_credit(one, t > 0.5) + _credit(turned, t < 0.5)) / 2
        for (one, turned), (_, t) in zip(both, decided, strict=True)
    ]
    longest = [pairwise_credit(len(pair.first), len(pair.second), t > 0.5) for pair, t in decided]
    return {
        "judge": _percent(hits),
        "longest": _percent(longest),
        "people": humans.agreement(),
        "unparsed": sum(preference is None for orders in both for preference in orders),
        "divided": len(pairs) - len(decided),
    }


def _both_orders(
    judge: Judge, items: Sequence[LabelledPair], seed: int, progress: Progress
) -> tuple[list[float | None], list[float | None]]:
    pairs = [Pair(item.instruction, item.output_1, item.output_2) for item in items]
    said = in_both_orders(judge, pairs, seed, progress)
    return [given for given, _ in said], [swapped for _, swapped in said]


def _credit(preference: float | None, first_is_right: bool) -> float:
    return 0.0 if preference is None else pairwise_credit(preference, 0.5, first_is_right)


def _winner(preference: float | None, swapped: bool) -> int | None:
    """Which output, 1 or 2; 0 is a tie, None no verdict."""
    if preference is None or preference == 0.5:
        return None if preference is None else 0
    return 1 if (preference > 0.5) != swapped else 2


def _right(
    items: Sequence[LabelledPair], given: Sequence[float | None], swapped: Sequence[float | None]
) -> list[float]:
    """Accuracy of every item over both orders: the unit of the interval."""
    return [
        (_credit(p, item.label == 1) + _credit(q, item.label == 2)) / 2
        for p, q, item in zip(given, swapped, items, strict=True)
    ]


def _self_agreement(rounds: Sequence[tuple[list[float | None], list[float | None]]]) -> float | None:
    """Share of pairs of repeats, same pair in the same order, with the same winner, percent; None for one round."""
    said = [[_winner(p, False) for p in (*given, *swapped)] for given, swapped in rounds]
    if len(said) < 2:
        return None
    same = [
        a == b
        for i, one in enumerate(said)
        for other in said[i + 1 :]
        for a, b in zip(one, other, strict=True)
    ]
    return 100 * sum(same) / len(same)


def _longest(item: LabelledPair) -> float:
    return pairwise_credit(len(item.output_1), len(item.output_2), item.label == 1)


def _pair_of(row: Mapping[str, Any]) -> Pair:
    return Pair(row["instruction"], row["output_1"], row["output_2"], row.get("input") or "")


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"mean": None, "n": 0}
    e: Estimate = estimate_mean(values)
    error = 100 * e.se if e.n > 1 else None
    return {"mean": 100 * e.mean, "standard_error": error, "ci95": [100 * e.low, 100 * e.high], "n": e.n}
