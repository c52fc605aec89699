"""Runs a coroutine from synchronous code, also where an event loop is running already."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


def run_coroutine(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine to completion; in a separate thread where an event loop is already running (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _run(work)
        return
    raised: list[BaseException] = []

    def other() -> None:
        try:
            _run(work)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except BaseExceptionGroup as group:  # raise the worker's error instead of the group
        error: BaseException = group
        with suppress(AttributeError, IndexError):
            while True:
                error = error.exceptions[0]  # type: ignore[attr-defined]
        raise error from None
