"""The weight of a penalty that grows by a constant factor per step."""


def exponential_weight(step: int, first: float, last: float, start: int, steps: int) -> float:
    """`first` up to step `start`, then a straight line of its logarithm to `last` in `steps` steps, then `last`.

    Args:
        step: 0-based.
        first, last: positive weights.
        start, steps: when it begins to grow, and for how long.

    Source: Federici et al. 2020 (arXiv:2002.07017), section 5 and code: 1e-3 to 1 in 100 000 steps after 50 000.
    """
    done = min(1.0, max(0.0, (step - start) / steps))
    return first * (last / first) ** done
