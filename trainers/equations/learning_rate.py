"""Learning rate of a step: warm-up, then constant, linear or half a cosine down to zero."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def learning_rate(step: int, total_steps: int, peak: float, warmup: float, schedule: Schedule) -> float:
    """The rate of update `step`.

    Args:
        step: 0-based update.
        total_steps: how many updates there will be.
        peak: rate at the end of the warm-up.
        warmup: below 1 a share of all steps (rounded up), from 1 a number of steps.
        schedule: what happens afterwards; "linear" and "cosine" end at 0.

    Source: `transformers.get_cosine_schedule_with_warmup` and its kin. Departs: warm-up begins at peak / warm-up steps
    instead of 0, so that the first update moves.
    """
    warmup_steps = math.ceil(warmup * total_steps) if warmup < 1 else int(warmup)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule == "constant":
        return peak
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done)))
