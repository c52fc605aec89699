"""Reads the bytes of a reply: JSON, text, reasoning, token counts, and the error that a server reports in it.

A reply is one of: a final answer (text, refusal, tool call, a text cut by the limit or by a filter), or no answer
(not JSON, no choices, an error object, finish_reason "error"). Only final answers are cached.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_TOKENS = 10**7
"""Largest token count that is believed; no context window is longer. Larger counts are unknown."""
MAX_DIGITS = 300
"""Longer integers are read as floats (infinity beyond 1e308): Python refuses more than 4300 digits."""
THINKING = re.compile(
    r"\s*(?:<(?P<tag>(?:seed:)?think(?:ing)?|thought|reasoning)>|(?P<square>\[THINK\])|(?P<kimi>\u25c1think\u25b7))",
    re.IGNORECASE,
)
"""A reasoning block at the beginning of a reply: DeepSeek, Qwen, Seed; Magistral; Kimi."""
BARE_END = re.compile(r"(?:^|\n)[ \t]*</think>[ \t]*(?=\n|$)", re.IGNORECASE)
"""The end of a block whose beginning is part of the chat template, on a line of its own."""


def split_thinking(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a text that begins with a reasoning block; ("", text) for any other text.

    The block ends at its last closing tag, so that a closing tag quoted in the reasoning does not end it. Without a
    closing tag there is no answer.
    """
    opened = THINKING.match(text)
    if opened is None:
        ends = list(BARE_END.finditer(text))
        if not ends:
            return "", text
        return text[: ends[-1].start()].strip(), text[ends[-1].end() :].strip()
    close = (
        "[/THINK]" if opened["square"] else "\u25c1/think\u25b7" if opened["kimi"] else f"</{opened['tag']}>"
    )
    inside = text[opened.end() :]
    at = inside.lower().rfind(close.lower())
    if at < 0:
        return inside.strip(), ""
    return inside[:at].strip(), inside[at + len(close) :].strip()


def text_of(message: Mapping[str, Any]) -> str:
    """The content of a message: a text, or a list of parts of which those of type text are joined."""
    return _joined(message.get("content"), ("text", "output_text"))


def reasoning_of(message: Mapping[str, Any]) -> str:
    """The reasoning that a server reports beside the content; empty if it reports none."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            return str(message[name])
    return (
        _joined(message.get("content"), ("thinking", "reasoning"))
        if _is_parts(message.get("content"))
        else ""
    )


def _is_parts(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(part, dict) for part in content)


def _joined(content: Any, kinds: tuple[str, ...]) -> str:
    if isinstance(content, str):
        return content
    if not _is_parts(content):
        return ""
    return "".join(_part(part) for part in content if part.get("type", kinds[0]) in kinds)


def _part(part: Mapping[str, Any]) -> str:
    for value in (part.get("text"), part.get(str(part.get("type")))):
        if isinstance(value, str):
            return value
        if _is_parts(value):  # Mistral nests the text of a thinking part
            return "".join(one["text"] for one in value or [] if isinstance(one.get("text"), str))
    return ""


def read_json(data: bytes, strict: bool = False) -> Any:
    """The JSON document; NaN, Infinity and integers of any length are read, and never raise.

    Args:
        strict: refuse an object that gives one key two different values.

    Raises:
        ValueError: not JSON, or nested too deep.
    """
    try:
        return json.loads(data, parse_int=_integer, object_pairs_hook=_no_conflicts if strict else None)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _no_conflicts(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items) and any(repr(found[name]) != repr(value) for name, value in items):
        raise ValueError("a key has two values")
    return found


def read_body(data: bytes, strict: bool = False) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """(body, its first choice) of a chat completion.

    Raises:
        ValueError: the data is not a complete chat completion.
    """
    body = read_json(data, strict)
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError("no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise ValueError("no message")
    content = message.get("content")
    if not isinstance(content, str | None) and not _is_parts(content):
        raise ValueError("no message")
    return body, choices[0]


def usage_of(body: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(prompt, completion) tokens; None, not 0, where the server does not report a believable count."""
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return _count(prompt), _count(completion)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


@dataclass(frozen=True)
class ServerError:
    """The error that a server reports, of any provider's layout."""

    message: str = ""
    code: str = ""
    """The server's own code or type of error: "content_filter", "model_not_found", ..."""
    param: str = ""
    """The request field that it names."""
    status: int | None = None
    """An HTTP status inside the error object, as routers report for the upstream server."""
    detail: str = ""
    """The whole error as text, for searches."""


def error_in(body: Any) -> ServerError | None:
    """The error of a JSON body (OpenAI, vLLM, FastAPI, Google, Ollama, Azure); None if it has none."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if error is None and body.get("object") != "error" and not ({"detail", "message", "errors"} & set(body)):
        return None
    return server_error(error if error else body)


def server_error(error: Any) -> ServerError:
    """The parts of an error object or text."""
    if not isinstance(error, dict):
        return ServerError(_words(error), detail=_words(error))
    message = error.get("message") or error.get("detail") or error.get("error") or error.get("errors")
    code, kind = error.get("code"), error.get("type")
    names = [str(one) for one in (code, kind) if isinstance(one, str) and one]
    return ServerError(
        _words(message),
        " ".join(names),
        error["param"] if isinstance(error.get("param"), str) else _location(error.get("detail")),
        _status(code) or _status(error.get("status")),
        _words(error),
    )


def _location(detail: Any) -> str:
    """The field that FastAPI names: [{"loc": ["body", "seed"], "msg": ...}]."""
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        place = detail[0].get("loc")
        if isinstance(place, list) and len(place) > 1 and isinstance(place[1], str):
            return place[1]
    return ""


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return json.dumps(value)[:4000]
    except (ValueError, RecursionError):
        return ""


def _status(code: Any) -> int | None:
    if isinstance(code, str) and code.isdecimal() and len(code) == 3:
        code = int(code)
    return code if type(code) is int and 300 <= code <= 599 else None


def storable(value: Any) -> str | None:
    """The value if it is a text, without lone surrogates, which SQLite cannot store."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else None
