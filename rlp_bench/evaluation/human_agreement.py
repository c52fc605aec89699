"""How far a judge agrees with people, beside one more person and the length rule: all by one rule, in percent.

The better answer is the one that more than half of the votes prefer. Votes without such a majority, or with one for a
tie, give no better answer: those pairs are left out and counted. A vote or verdict for a tie is half right.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rlp_bench.api.protocols import Judge, Progress
from rlp_bench.api.types import Pair, merge_input
from rlp_bench.evaluation.judge_audit import credit, in_both_orders, longer_first, percent
from rlp_bench.evaluation.verdicts import ask_judge
from rlp_bench.evaluation.win_rate_report import outcomes, refuse_missing

Votes = Sequence[float]
"""Of each person, preference for the first answer: 1, 0, or 0.5 for a tie."""


class People(Protocol):
    """The judge "human" of a file."""

    def rows(self) -> Sequence[Mapping[str, Any]]: ...

    def votes(self, pair: Pair) -> Votes:
        """Empty where nobody voted."""

    def agreement(self) -> Mapping[str, Any]:
        """`pairwise` is a share, or None."""


def human_agreement(
    judge: Judge, people: People, progress: Progress, *, allow_missing: bool = False
) -> dict[str, Any]:
    """Every pair is shown in both orders and counts, for all, only where the judge has both verdicts.

    Returns:
        `majority`: how often the judge, and the length rule, are of the majority of all votes.
        `leave_one_out`: how often one person, the judge and the length rule are of the majority of the other votes:
        what one more person would reach, and what a judge is compared with. Pairs with one vote have no others.
        Each with n and interval over pairs, and `divided`: pairs that have no majority for one of the answers.
        `people`: the votes' own agreement. `coverage`: pairs by what became of the judge's verdicts.

    Raises:
        DataError: as `audit`.
    """
    pairs = _pairs(people.rows())
    cast = [people.votes(pair) for pair in pairs]
    voted = [(pair, votes) for pair, votes in zip(pairs, cast, strict=True) if votes]
    orders = [pair for pair, _ in voted] + [Pair(p.instruction, p.second, p.first, p.input) for p, _ in voted]
    said = ask_judge(judge, orders, 0, progress)
    both = list(zip(said[: len(voted)], said[len(voted) :], strict=True))
    scores = [in_both_orders(*verdicts) for verdicts in both]
    refuse_missing(scores, outcomes(scores), judge.name, what="pairs", allow_missing=allow_missing)
    judged = [
        (pair, votes, row["score"])
        for (pair, votes), row in zip(voted, scores, strict=True)
        if row["score"] is not None
    ]
    agreement = dict(people.agreement())
    pairwise = agreement.get("pairwise")
    return {
        "majority": _whole(judged),
        "leave_one_out": _left_out(judged),
        "people": {**agreement, "pairwise": None if pairwise is None else 100 * pairwise},
        "coverage": outcomes(scores),
        "without_a_vote": len(pairs) - len(voted),
    }


def majority(votes: Votes) -> float | None:
    """1 or 0, whichever answer more than half of the votes prefer; None where neither has so many."""
    for answer in (1.0, 0.0):
        if 2 * sum(vote == answer for vote in votes) > len(votes):
            return answer
    return None


Judged = Sequence[tuple[Pair, Votes, tuple[float, float]]]
"""A pair, its votes, and the judge's preference for the answer shown first in either order."""


def _whole(judged: Judged) -> dict[str, Any]:
    known = [(p, m, said) for p, votes, said in judged if (m := majority(votes)) is not None]
    return {
        "judge": percent([_both(said, m) for _, m, said in known]),
        "longest": percent([credit(longer_first(p.first, p.second), m == 1) for p, m, _ in known]),
        "divided": len(judged) - len(known),
    }


def _left_out(judged: Judged) -> dict[str, Any]:
    """Means within a pair, over the people left out; then over pairs."""
    several = [one for one in judged if len(one[1]) > 1]
    right: dict[str, list[float]] = {"people": [], "judge": [], "longest": []}
    for pair, votes, said in several:
        targets = list(_targets(votes))
        if targets:
            length = longer_first(pair.first, pair.second)
            right["people"].append(_mean([credit(vote, target == 1) for vote, target in targets]))
            right["judge"].append(_mean([_both(said, target) for _, target in targets]))
            right["longest"].append(_mean([credit(length, target == 1) for _, target in targets]))
    divided = len(several) - len(right["people"])
    return {**{who: percent(values) for who, values in right.items()}, "divided": divided}


def _targets(votes: Votes) -> Iterable[tuple[float, float]]:
    """(a vote, the majority of the others), where they have one."""
    for place, vote in enumerate(votes):
        target = majority([*votes[:place], *votes[place + 1 :]])
        if target is not None:
            yield vote, target


def _both(said: tuple[float, float], target: float) -> float:
    """The judge's credit over both orders."""
    given, turned = said
    return (credit(given, target == 1) + credit(turned, target == 0)) / 2


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _pairs(rows: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """Each pair once, in the order in which it stands first."""
    found: dict[Any, Pair] = {}
    for row in rows:
        pair = Pair(row["instruction"], row["output_1"], row["output_2"], row.get("input") or "")
        found.setdefault(
            (merge_input(pair.instruction, pair.input), *sorted((pair.first, pair.second))), pair
        )
    return list(found.values())
