"""Multiple testing: Holm's correction, also for hypotheses that exclude each other."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

ALPHA = 0.05


@dataclass(frozen=True)
class Adjusted:
    """One test of a family."""

    p: float
    """Adjusted p value: the hypothesis is rejected if it is below ALPHA."""
    level: float
    """Threshold for the unadjusted p value, given the other p values."""


def step_down(
    p_values: Sequence[float], exclusive: Sequence[Hashable] | None = None, alpha: float = ALPHA
) -> list[Adjusted]:
    """Step-down tests with family-wise error `alpha`, in the order given.

    In ascending order, each p is multiplied by the number of remaining hypotheses that can be true together, until one
    is not rejected: Holm (1979, Scand. J. Statist. 6). At most one of the hypotheses with the same `exclusive` mark is
    true (an effect cannot be both 0 and 3.4), so that a mark counts once until all its hypotheses are rejected:
    Shaffer (1986, JASA 81, procedure S2).
    """
    marks: list[Hashable] = list(range(len(p_values)) if exclusive is None else exclusive)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    so_far = 0.0
    for place, i in enumerate(order):
        open_marks = len({marks[j] for j in order[place:]})
        so_far = max(so_far, min(1.0, p_values[i] * open_marks))
        adjusted[i] = so_far
    return [
        Adjusted(adjusted[i], _level(i, [j for j in order if j != i], p_values, marks, alpha))
        for i in range(len(p_values))
    ]


def _level(
    mine: int, others: Sequence[int], p_values: Sequence[float], marks: Sequence[Hashable], alpha: float
) -> float:
    """alpha / number of open marks, after rejecting the other hypotheses that can be rejected before `mine`."""
    for place, i in enumerate(others):
        open_marks = len({marks[j] for j in (mine, *others[place:])})
        if p_values[i] * open_marks >= alpha:
            return alpha / open_marks
    return alpha


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given."""
    return [one.p for one in step_down(p_values)]
