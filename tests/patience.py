"""How long tests wait: until it is there. The limit only finds what hangs; a busy machine is no fault."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 900.0
"""Seconds after which something hangs, whatever else the machine has to do."""


def wait_until(condition: Callable[[], T], every: float = 0.02) -> T:
    """What `condition` gives once that is true; looked at every so many seconds.

    Raises:
        TimeoutError: it has not been true for PATIENCE seconds.
    """
    until = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > until:
            raise TimeoutError(f"not true within {PATIENCE:.0f} s: {condition}")
        time.sleep(every)
    return found
