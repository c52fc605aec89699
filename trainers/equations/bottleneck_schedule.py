"""Exponential schedule for the weight of a penalty."""


def exponential_weight(step: int, first: float, last: float, start: int, steps: int) -> float:
    """`first` until step `start`, then log-linear interpolation to `last` over `steps` steps, then `last`.

    Args:
        step: 0-based.
        first, last: positive weights.
        start, steps: first step of the increase, and its length in steps.

    Source: Federici et al. 2020 (arXiv:2002.07017), section 5 and code: 1e-3 to 1 in 100 000 steps after 50 000.
    """
    done = min(1.0, max(0.0, (step - start) / steps))
    return first * (last / first) ** done
