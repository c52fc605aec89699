"""A request to a chat endpoint, its cache key, and its answer."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlp_bench.endpoint.reply import reasoning_of, split_thinking, text_of, usage_of

KEY_VERSION = 1
"""Incremented when equal requests would no longer be equivalent."""
UNSENDABLE = dict.fromkeys([0, *range(0xD800, 0xE000)], "\ufffd")
"""NUL, which ends a text on many servers, and lone surrogates, which are not UTF-8."""

LARGEST_LOGPROB = 1e-3
"""Rounding on servers; a larger value is no log-probability."""


def wire_text(text: str) -> str:
    """The text to send: NUL and lone surrogates become U+FFFD; all else is unchanged, including chat tokens."""
    return text.translate(UNSENDABLE) if not text.isascii() or "\0" in text else text


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces, ASCII; raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def options_of(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(field, value) of a request's body without its text and its seed."""
    return {(name, canonical(value)) for name, value in body.items() if name not in ("messages", "seed")}


@dataclass(frozen=True)
class Request:
    """Everything that can change the answer. A field that is `None` is not sent: the server's default applies."""

    provider: str
    """Base URL of the server, or a given name for it."""
    model: str
    messages: tuple[tuple[str, str], ...]
    """(role, content); content is sent unchanged."""
    snapshot: str = ""
    """The model name that the answer must report; empty: `model`."""
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = None
    max_tokens_name: str = "max_tokens"
    """"max_completion_tokens" for models that reject "max_tokens"."""
    seed: int | None = None
    """Sent to the server; many ignore it."""
    top_logprobs: int | None = None
    response_format: str = ""
    """A JSON document, or empty."""
    stop: tuple[str, ...] = ()
    extra: str = "{}"
    """More fields of the body, as a JSON object."""
    prompt: str = ""
    """Hash of the prompt file that the messages were made from."""
    draw: int = 0
    """Distinguishes repeated samples of one request; not sent."""
    query: str = "{}"
    """Parameters of the address (`api-version`), as a JSON object; sent by the connection."""
    headers: str = "{}"
    """More headers, as a JSON object; sent by the connection."""

    @property
    def expected_model(self) -> str:
        """The model name that the answer must report."""
        return self.snapshot or self.model

    def body(self) -> dict[str, Any]:
        """The JSON body to send."""
        given = {
            "model": self.model,
            "messages": [{"role": role, "content": wire_text(text)} for role, text in self.messages],
            "temperature": self.temperature,
            "top_p": self.top_p,
            self.max_tokens_name: self.max_tokens,
            "seed": self.seed,
            "logprobs": None if self.top_logprobs is None else True,
            "top_logprobs": self.top_logprobs,
            "response_format": json.loads(self.response_format) if self.response_format else None,
            "stop": list(self.stop) or None,
            **json.loads(self.extra),
        }
        return {name: value for name, value in given.items() if value is not None}

    def key(self) -> str:
        """sha256 (hex) of everything that can change the answer."""
        identity = {
            "key_version": KEY_VERSION,
            "provider": self.provider,
            "snapshot": self.expected_model,
            "prompt": self.prompt,
            "draw": self.draw,
            "body": self.body(),
            **({} if self.query == "{}" else {"query": json.loads(self.query)}),
            **({} if self.headers == "{}" else {"headers": json.loads(self.headers)}),
        }
        return hashlib.sha256(canonical(identity).encode("ascii")).hexdigest()

    def prompt_tokens_at_most(self) -> int:
        """An upper bound without a tokenizer: one token per 3 UTF-8 bytes (English: 4; CJK: 3) plus 8 per message."""
        return sum(8 + -(-len(wire_text(text).encode("utf-8")) // 3) for _, text in self.messages)


@dataclass(frozen=True)
class Answer:
    """The result of a request. Without a `body` there is no answer, and `reason` explains why."""

    body: Mapping[str, Any] | None
    reason: str = ""
    cached: bool = False
    attempts: int = 0
    choice: Mapping[str, Any] = field(default_factory=dict)
    """The first choice of the body."""

    @property
    def message(self) -> Mapping[str, Any]:
        """The message of the first choice."""
        return self.choice.get("message") or {}

    @property
    def text(self) -> str:
        """The answer's text as received; parts are joined; empty if it has none."""
        return text_of(self.message)

    @property
    def final_text(self) -> str:
        """The answer's text without a reasoning block at its beginning."""
        return split_thinking(self.text)[1]

    @property
    def reasoning(self) -> str:
        """The reasoning inside the text and beside it; empty if there is none."""
        return "\n".join(part for part in (reasoning_of(self.message), split_thinking(self.text)[0]) if part)

    @property
    def refusal(self) -> str:
        """The model's refusal, where the server reports it apart from the text."""
        refusal = self.message.get("refusal")
        return refusal if isinstance(refusal, str) else ""

    @property
    def calls_tool(self) -> bool:
        """Whether the answer is a tool call."""
        return bool(self.message.get("tool_calls") or self.message.get("function_call"))

    @property
    def finish_reason(self) -> str:
        """ "stop", "length", "content_filter", ...; empty where not reported."""
        reason = self.choice.get("finish_reason")
        return reason if isinstance(reason, str) else ""

    @property
    def completion_tokens(self) -> int | None:
        """Completion tokens as counted by the server; None where not reported."""
        return usage_of(self.body or {})[1]

    def first_token(self) -> dict[str, float] | None:
        """Log-probabilities (nats) of the most likely first tokens; None where not reported, or if one is above 0
        or NaN.
        """
        try:
            listed = self.choice["logprobs"]["content"][0]["top_logprobs"]
            found = {str(one["token"]): float(one["logprob"]) for one in listed}
        except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError):
            return None
        if any(math.isnan(value) or value > LARGEST_LOGPROB for value in found.values()):
            return None
        return found
