"""Classifies request errors: retry (and when), fail this request, or stop the round.

Two rules. A fault of the request's text (moderation, content filter, too long) fails that request and no other. A fault
that every request would have (key, account, address, model, an option that the server refuses) stops the round. This
is the only retry layer; the SDK's is disabled.
"""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from rlp_bench.endpoint.reply import ServerError, error_in, read_body, read_json, server_error

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
"""Pauses double from the first to the longest."""
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
"""Statuses that are retried, as is any other 5xx."""
HOPELESS = {401, 402, 403, 404, 405}
"""Statuses that every request would get: wrong key, account, address or model."""
MAX_WORDS = 200
"""Characters of a server's message in an error."""
FILTERED = re.compile(
    r"moderation|flagged|content[ _-]?(?:filter|policy|management)|responsible ?ai|guardrail|prohibited[ _]content|"
    r"safety|harass|inappropriate|sensitive (?:content|words)|(?:prompt|input|content|request) (?:was |is )?blocked|"
    r"violat\w+ (?:\w+ ){0,3}(?:usage|use|content|safety) polic",
    re.IGNORECASE,
)
"""The provider refuses the text of one request."""
TOO_LONG = re.compile(
    r"context[ _]?(?:length|window)|maximum (?:context|input|prompt)|string_above_max|too long|"
    r"too many (?:input )?tokens|"
    r"(?:exceeds?|longer than|over) the (?:model's )?(?:maximum|limit|context)",
    re.IGNORECASE,
)
"""The text of one request is too long for the model."""
ACCOUNT = re.compile(
    r"api[ _-]?key|unauthori[sz]ed|credential|authenticat|account|organi[sz]ation|billing|suspend|permission|"
    r"country|region|territory|not have access",
    re.IGNORECASE,
)
"""The provider refuses the user."""
MODEL = re.compile(
    r"model_not_found|(?:model|deployment)\b.{0,80}?(?:not found|does(?: not|n't) exist|not exist|is unknown|"
    r"not available|not (?:a )?valid|is not supported$)|(?:unknown|invalid|no such) model|not a valid model",
    re.IGNORECASE | re.DOTALL,
)
"""The server does not have the model."""
NO_MONEY = re.compile(
    r"insufficient_quota|insufficient (?:balance|credits?|funds)|billing_hard_limit", re.IGNORECASE
)
REFUSES = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|invalid|not (?:allowed|permitted|available|valid)|"
    r"extra (?:inputs?|fields?)|deprecated|only the default|(?:must|should) be|does(?: not|n't) (?:take|accept)|"
    r"cannot|incompatible|out of range|expected|(?:less|greater) than|at (?:most|least)|remove",
    re.IGNORECASE,
)
"""What servers write about an option that they refuse."""
ADVICE = {
    "temperature": "leave it out by temperature=none",
    "top_p": "leave it out by top_p=none",
    "max_tokens": "give max_tokens_name=max_completion_tokens, or leave it out by max_tokens=none",
    "max_completion_tokens": "give max_tokens_name=max_tokens, or leave it out by max_tokens=none",
    "seed": "leave it out by send_seed=false",
    "logprobs": "leave it out by logprobs=false",
    "top_logprobs": "set it by top_logprobs=N, or leave it out by logprobs=false",
}
"""Request field -> how to leave it out."""


@dataclass(frozen=True)
class Fault:
    """One failed attempt."""

    reason: str
    what: Literal["again", "give_up", "stop"]
    status: int | None = None
    """HTTP status; None: no complete response."""
    retry_after: float = 0.0
    """Seconds that the server asks to wait."""
    option: str = ""
    """The request field that the server refuses."""
    advice: str = ""
    """What to do; empty: check key, model and address."""
    of_text: bool = False
    """Whether the text of this request is the cause."""


def pause_seconds(key: str, attempt: int, retry_after: float, first: float = FIRST_PAUSE_SECONDS) -> float:
    """Pause before attempt + 1: exponential, times a jitter in [.5, 1) determined by request and attempt."""
    draw = int.from_bytes(hashlib.sha256(f"{key} {attempt}".encode()).digest()[:4]) / 2**32
    own = min(LONGEST_PAUSE_SECONDS, first * 2.0 ** (attempt - 1)) * (0.5 + 0.5 * draw)
    return max(own, retry_after)


def fault_of_body(
    data: bytes, secrets: Sequence[str] = (), sent: Sequence[str] = (), headers: Mapping[str, str] | None = None,
    strict: bool = True,
) -> Fault | None:  # fmt: skip
    """The fault of a reply with status 200; None: it is a final answer.

    Args:
        sent: names of the request's fields.
        strict: also refuse objects that give one key two values; False for replies in the cache.
    """
    try:
        body = read_json(data, strict)
    except ValueError as problem:
        return Fault(f"not a chat completion ({one_line(str(problem), secrets)[:80]})", "again", 200)
    error = body.get("error") if isinstance(body, dict) else None
    try:
        choice = read_body(data, strict)[1]
    except ValueError as problem:
        found = error_in(body)
        if found is None:
            return Fault(f"not a chat completion ({problem})", "again", 200)
        return _classify(200, found, secrets, sent, headers or {})
    error = error or choice.get("error")
    if error or choice.get("finish_reason") == "error":
        found = server_error(error or 'finish_reason "error"')
        return _classify(200, found, secrets, sent, headers or {})
    return None


def fault_of_status(
    status: int, headers: Mapping[str, str], data: bytes, secrets: Sequence[str], sent: Sequence[str] = ()
) -> Fault:
    """The fault of a reply with another status than 200."""
    if 300 <= status < 400:
        return _redirect(status, headers.get("location", ""), secrets)
    try:
        error = error_in(read_json(data)) or ServerError()
    except ValueError:
        error = ServerError(data[: 4 * MAX_WORDS].decode("utf-8", "replace"))
    return _classify(status, error, secrets, sent, headers)


def _redirect(status: int, location: str, secrets: Sequence[str]) -> Fault:
    shown = one_line(location.partition("?")[0].removesuffix("/chat/completions"), secrets)
    advice = "redirects are not followed; give the final address by base_url=..."
    if re.fullmatch(r"https?://[^@\s,\\]+", shown):
        advice = f"redirects are not followed; if you trust that address, give base_url={shown}"
    return Fault(f'HTTP {status}: redirects to "{shown}"', "stop", status, advice=advice)


def _classify(
    status: int, error: ServerError, secrets: Sequence[str], sent: Sequence[str], headers: Mapping[str, str]
) -> Fault:
    message = one_line(error.message, secrets)
    inner = "" if error.status in (None, status) else f" with error {error.status}"
    reason = f"HTTP {status}{inner}: {message}" if message else f"HTTP {status}{inner}"
    about = f"{error.code} {error.message}"
    own, real = f"{about} {error.detail}", error.status or status
    if NO_MONEY.search(about) or real in (401, 402):
        return Fault(reason, "stop", status)
    if real == 429 or real in AGAIN or real >= 500:
        return Fault(reason, "again", real, retry_after(headers))
    if FILTERED.search(own) and not ACCOUNT.search(about):
        return Fault(reason, "give_up", status, of_text=True)
    if TOO_LONG.search(about) or real in (413, 414):
        return Fault(reason, "give_up", status, of_text=True)
    if real == 200:  # an error object that names no status
        return Fault(reason, "again", status, retry_after(headers))
    if real in HOPELESS or ACCOUNT.search(about) or MODEL.search(about):
        return Fault(reason, "stop", status)
    option = refused_option(error, sent)
    if option:
        return Fault(
            reason, "stop", status, option=option, advice=ADVICE.get(option, f"leave extra.{option} out")
        )
    return Fault(reason, "give_up", status)


def refused_option(error: ServerError, sent: Sequence[str]) -> str:
    """The field of the request that the server refuses; empty if it names none."""
    names = sorted(set(sent) - {"model", "messages"}, key=len, reverse=True)
    if error.param.partition(".")[0] in names:
        return error.param.partition(".")[0]
    if REFUSES.search(error.message):
        for name in names:
            if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", error.message):
                return name
    return ""


def one_line(words: str, secrets: Sequence[str]) -> str:
    """A server's words in one line of at most 200 printable ASCII characters, without the keys."""
    for secret in secrets:
        words = words.replace(secret, "[key]")
    line = " ".join(words.split()).encode("ascii", "backslashreplace").decode()
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in line)[:MAX_WORDS]


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


def fault_of(error: Exception, secrets: Sequence[str], sent: Sequence[str] = (), proxies: str = "") -> Fault:
    """The fault of an exception of the openai package or of its HTTP client; raises any other exception.

    Args:
        proxies: the proxy variables that are set, for the reason.
    """
    import openai

    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Fault("timed out", "again")
    if isinstance(error, openai.APIStatusError):
        response: Any = error.response
        return fault_of_status(error.status_code, response.headers, response.content, secrets, sent)
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    if isinstance(cause, ReplyTooLarge):
        return Fault(str(cause), "give_up", 200)
    if isinstance(error, openai.APIConnectionError) or type(error).__module__.startswith(
        ("httpx", "httpcore")
    ):
        through = f" through the proxy of {proxies}" if proxies else ""
        return Fault(f"no connection, or cut off ({type(cause).__name__}){through}", "again")
    raise error


class ReplyTooLarge(Exception):
    """A reply is longer than is ever read."""
