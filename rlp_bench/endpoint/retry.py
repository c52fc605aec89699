"""Classifies request errors: retry (and when), fail this request, or stop the round.

This is the only retry layer; the SDK's is disabled.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
"""Pauses double from the first to the longest."""
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
"""Statuses that are retried, as is any other 5xx."""
HOPELESS = {401, 402, 403, 404, 405}
"""Statuses that every request would get: wrong key, account, address or model."""


@dataclass(frozen=True)
class Fault:
    """One failed attempt."""

    reason: str
    what: Literal["again", "give_up", "stop"]
    status: int | None = None
    """HTTP status; None: no complete response."""
    retry_after: float = 0.0
    """Seconds that the server asks to wait."""


def pause_seconds(key: str, attempt: int, retry_after: float, first: float = FIRST_PAUSE_SECONDS) -> float:
    """Pause before attempt + 1: exponential, times a jitter in [.5, 1) determined by request and attempt."""
    draw = int.from_bytes(hashlib.sha256(f"{key} {attempt}".encode()).digest()[:4]) / 2**32
    own = min(LONGEST_PAUSE_SECONDS, first * 2.0 ** (attempt - 1)) * (0.5 + 0.5 * draw)
    return max(own, retry_after)


def fault_of(error: Exception, secret: str) -> Fault:
    """The fault of an exception of the openai package; raises any other exception."""
    import openai

    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Fault("timed out", "again")
    if isinstance(error, openai.APIStatusError):
        return _status_fault(error.status_code, error.response.headers, error.body, str(error), secret)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        return Fault(f"no connection, or cut off ({type(cause or error).__name__})", "again")
    raise error


def _status_fault(status: int, headers: Mapping[str, str], body: Any, text: str, secret: str) -> Fault:
    message = _server_message(body, text, secret)
    reason = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    code = body.get("code") if isinstance(body, dict) else None
    if status in HOPELESS or code == "insufficient_quota":
        return Fault(reason, "stop", status)
    if status in AGAIN or status >= 500:
        return Fault(reason, "again", status, retry_after(headers))
    return Fault(reason, "give_up", status)


def _server_message(body: Any, text: str, secret: str) -> str:
    """The server's message in one line of at most 200 characters, without the key."""
    words = body.get("message") if isinstance(body, dict) else None
    line = " ".join(str(words or text).split())
    if secret:
        line = line.replace(secret, "[key]")
    return line.encode("ascii", "backslashreplace").decode()[:200]


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds from retry-after-ms or Retry-After (seconds or a date); 0 if missing or invalid."""
    try:
        if "retry-after-ms" in headers:
            return _sensible(float(headers["retry-after-ms"]) / 1000)
        given = headers.get("retry-after", "0")
        try:
            return _sensible(float(given))
        except ValueError:
            return _sensible(parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _sensible(seconds: float) -> float:
    return seconds if 0 <= seconds < float("inf") else 0.0
