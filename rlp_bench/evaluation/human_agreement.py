"""Agreement of a judge with human annotators, compared with one more annotator and a length rule, in percent.

The target is the answer that more than half of the votes prefer. Pairs without such a majority, or with a majority for
a tie, are left out and counted. A tie as vote or verdict counts as half correct.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rlp_bench.api.protocols import Judge, Progress
from rlp_bench.api.types import Pair, merge_input
from rlp_bench.evaluation.judge_audit import credit, in_both_orders, longer_first, percent
from rlp_bench.evaluation.verdicts import ask_judge
from rlp_bench.evaluation.win_rate_report import outcomes, refuse_missing

Votes = Sequence[float]
"""Each annotator's preference for the first answer: 1, 0, or 0.5 for a tie."""


class People(Protocol):
    """The judge "human", which replays the human votes of a file."""

    def rows(self) -> Sequence[Mapping[str, Any]]: ...

    def votes(self, pair: Pair) -> Votes:
        """The votes on a pair; empty if there are none."""

    def agreement(self) -> Mapping[str, Any]:
        """Agreement between annotators; `pairwise` is a fraction or None."""


def human_agreement(
    judge: Judge, people: People, progress: Progress, *, allow_missing: bool = False
) -> dict[str, Any]:
    """Agreement of the judge with the votes. Pairs are shown in both orders and count only if both have a verdict.

    Returns:
        `majority`: how often the judge and the length rule agree with the majority of all votes.
        `leave_one_out`: how often one annotator, the judge and the length rule agree with the majority of the other
        votes: the level of one more annotator, to compare the judge with. Pairs with a single vote are left out.
        Each with n and an interval over pairs, and `divided`: pairs without a majority for one of the answers.
        `people`: the agreement between votes. `coverage`: pairs by outcome of the judge's verdicts.

    Raises:
        DataError: as `audit`.
    """
    pairs = _pairs(people.rows())
    cast = [people.votes(pair) for pair in pairs]
    voted = [(pair, votes) for pair, votes in zip(pairs, cast, strict=True) if votes]
    orders = [pair for pair, _ in voted] + [Pair(p.instruction, p.second, p.first, p.input) for p, _ in voted]
    verdicts = ask_judge(judge, orders, 0, progress)
    both = list(zip(verdicts[: len(voted)], verdicts[len(voted) :], strict=True))
    scores = [in_both_orders(*two) for two in both]
    refuse_missing(scores, outcomes(scores), judge.name, what="pairs", allow_missing=allow_missing)
    judged = [
        (pair, votes, row["score"])
        for (pair, votes), row in zip(voted, scores, strict=True)
        if row["score"] is not None
    ]
    agreement = dict(people.agreement())
    pairwise = agreement.get("pairwise")
    return {
        "majority": _by_majority(judged),
        "leave_one_out": _leave_one_out(judged),
        "people": {**agreement, "pairwise": None if pairwise is None else 100 * pairwise},
        "coverage": outcomes(scores),
        "without_a_vote": len(pairs) - len(voted),
    }


def majority(votes: Votes) -> float | None:
    """1 or 0, the answer that more than half of the votes prefer; None without such a majority."""
    for answer in (1.0, 0.0):
        if 2 * sum(vote == answer for vote in votes) > len(votes):
            return answer
    return None


Judged = Sequence[tuple[Pair, Votes, tuple[float, float]]]
"""A pair, its votes, and the judge's preferences for the answer shown first, in both orders."""


def _by_majority(judged: Judged) -> dict[str, Any]:
    known = [(p, m, preferences) for p, votes, preferences in judged if (m := majority(votes)) is not None]
    return {
        "judge": percent([_both(preferences, m) for _, m, preferences in known]),
        "longest": percent([credit(longer_first(p.first, p.second), m == 1) for p, m, _ in known]),
        "divided": len(judged) - len(known),
    }


def _leave_one_out(judged: Judged) -> dict[str, Any]:
    """Mean within each pair over the left-out annotators, then over pairs."""
    several = [one for one in judged if len(one[1]) > 1]
    right: dict[str, list[float]] = {"people": [], "judge": [], "longest": []}
    for pair, votes, preferences in several:
        targets = list(_targets(votes))
        if targets:
            length = longer_first(pair.first, pair.second)
            right["people"].append(_mean([credit(vote, target == 1) for vote, target in targets]))
            right["judge"].append(_mean([_both(preferences, target) for _, target in targets]))
            right["longest"].append(_mean([credit(length, target == 1) for _, target in targets]))
    divided = len(several) - len(right["people"])
    return {**{who: percent(values) for who, values in right.items()}, "divided": divided}


def _targets(votes: Votes) -> Iterable[tuple[float, float]]:
    """(a vote, the majority of the other votes), if there is a majority."""
    for place, vote in enumerate(votes):
        target = majority([*votes[:place], *votes[place + 1 :]])
        if target is not None:
            yield vote, target


def _both(preferences: tuple[float, float], target: float) -> float:
    """The judge's mean credit over both orders."""
    given, turned = preferences
    return (credit(given, target == 1) + credit(turned, target == 0)) / 2


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _pairs(rows: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """Distinct pairs, in order of first occurrence."""
    found: dict[Any, Pair] = {}
    for row in rows:
        pair = Pair(row["instruction"], row["output_1"], row["output_2"], row.get("input") or "")
        found.setdefault(
            (merge_input(pair.instruction, pair.input), *sorted((pair.first, pair.second))), pair
        )
    return list(found.values())
