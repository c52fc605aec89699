"""Learning rate schedules: linear warmup, then constant, linear decay or cosine decay to zero."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def learning_rate(step: int, total_steps: int, peak: float, warmup: float, schedule: Schedule) -> float:
    """The learning rate of update `step`.

    Args:
        step: 0-based update.
        total_steps: total number of updates.
        peak: learning rate at the end of the warmup.
        warmup: below 1, a fraction of all steps (rounded up); from 1 on, a number of steps.
        schedule: decay after the warmup; "linear" and "cosine" end at 0.

    Source: `transformers.get_cosine_schedule_with_warmup` and related functions. Departs: the warmup starts at
    peak / warmup steps instead of 0, so that the first update changes the parameters.
    """
    warmup_steps = math.ceil(warmup * total_steps) if warmup < 1 else int(warmup)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if schedule == "constant":
        return peak
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (1.0 - done if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done)))
