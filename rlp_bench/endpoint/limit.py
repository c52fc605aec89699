"""An adaptive limit on the number of requests in flight, controlled by the server's 429 responses.

The limit grows by one per answer until the first 429, then by one per `size` answers; a 429 multiplies it by 0.8, at
most once per round of requests, and nothing is sent before its Retry-After has passed.
Source: inspect_ai's adaptive concurrency (starts at 20, x .8 on 429); additive increase after Jacobson 1988.
"""

import asyncio
from collections import deque

START = 20
SLOWER = 0.8


class AdaptiveLimit:
    """A semaphore whose size adapts; for one event loop at a time (`reset` between two)."""

    def __init__(self, maximum: int, start: int = START) -> None:
        self.maximum = maximum
        self.size = float(min(start, maximum))
        self.running = 0
        self._alone = False
        self._closed = False
        self._slowed = False
        self._slowed_at = float("-inf")
        self._resume_at = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._asleep: list[asyncio.Future[None]] = []

    def reset(self) -> None:
        """Clears the state of a stopped event loop; keeps the adapted size."""
        self.running = 0
        self._alone = self._closed = False
        self._waiting.clear()
        self._asleep.clear()
        self._slowed_at = self._resume_at = float("-inf")

    def go_alone(self, seconds: float) -> None:
        """Allows one request at a time until the first answer, for at most `seconds`.

        So an error that every request would get is met by one request, not by the whole first round.
        """
        self._alone = True
        asyncio.get_running_loop().call_later(seconds, self._go_together)

    def _go_together(self) -> None:
        self._alone = False
        self._wake()

    def close(self) -> None:
        """Ends all waiting: the round stops."""
        self._closed = True
        self._wake()

    @property
    def alone(self) -> bool:
        """Whether one request goes at a time."""
        return self._alone

    @property
    def _places(self) -> int:
        return 1 if self._alone else int(self.size)

    async def acquire(self) -> float:
        """Waits for a slot, or for `close`; returns the loop time at which it was acquired."""
        loop = asyncio.get_running_loop()
        while True:
            pause = self._resume_at - loop.time()
            if not self._closed and pause > 0:
                await self.sleep(pause)
            elif self._closed or self.running < self._places:
                self.running += 1
                return loop.time()
            else:
                turn = loop.create_future()
                self._waiting.append(turn)
                await turn

    async def sleep(self, seconds: float) -> None:
        """Waits for some seconds, or for `close`."""
        if self._closed:
            return
        turn = asyncio.get_running_loop().create_future()
        self._asleep.append(turn)
        try:
            await asyncio.wait([turn], timeout=seconds)
        finally:
            self._asleep.remove(turn)

    def release(self) -> None:
        """Releases the slot and wakes waiting requests."""
        self.running -= 1
        self._wake()

    def _wake(self) -> None:
        free = len(self._waiting) if self._closed else self._places - self.running
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
        for turn in self._asleep if self._closed else ():
            if not turn.done():
                turn.set_result(None)

    def answered(self) -> None:
        """Raises the limit after an answer."""
        if self._alone:
            self._go_together()
        step = 1.0 / self.size if self._slowed else 1.0
        self.size = min(self.maximum, self.size + step)

    def too_many(self, sent_at: float, retry_after: float) -> None:
        """Lowers the limit after a 429 to a request sent at `sent_at`; pauses for `retry_after` seconds."""
        now = asyncio.get_running_loop().time()
        self._resume_at = max(self._resume_at, now + retry_after)
        if sent_at >= self._slowed_at:
            self._slowed, self._slowed_at = True, now
            self.size = max(1.0, self.size * SLOWER)
