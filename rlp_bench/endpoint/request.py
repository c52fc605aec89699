"""One request to a chat endpoint, the key under which its answer is kept, and the answer."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEY_VERSION = 1
"""Raised when the same request would mean something else."""
UNSENDABLE = dict.fromkeys([0, *range(0xD800, 0xE000)], "\ufffd")
"""NUL and lone surrogates: the first ends a text in many servers, the others are no UTF-8."""


def wire_text(text: str) -> str:
    """The text as it can be sent: NUL and lone surrogates become U+FFFD, all else stays, chat tokens too."""
    return text.translate(UNSENDABLE) if not text.isascii() or "\0" in text else text


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces, ASCII; NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Request:
    """Everything that can change the answer. `None` is left out of what is sent, and so the server's default."""

    provider: str
    """Base URL of who answers, or a stated name for it."""
    model: str
    messages: tuple[tuple[str, str], ...]
    """(role, content); content is sent as it stands."""
    snapshot: str = ""
    """What the answer must name as its model; empty: `model`."""
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = None
    max_tokens_name: str = "max_tokens"
    """"max_completion_tokens" for the models that refuse the older name."""
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
    """Tells repeats of one request apart; not sent."""

    @property
    def expected_model(self) -> str:
        """The model that the answer must name."""
        return self.snapshot or self.model

    def body(self) -> dict[str, Any]:
        """What is sent."""
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
        """sha256 (hex) of all that can change the answer."""
        identity = {
            "key_version": KEY_VERSION,
            "provider": self.provider,
            "snapshot": self.expected_model,
            "prompt": self.prompt,
            "draw": self.draw,
            "body": self.body(),
        }
        return hashlib.sha256(canonical(identity).encode("ascii")).hexdigest()

    def prompt_tokens_at_most(self) -> int:
        """An upper bound that needs no tokenizer: a token a 3 bytes of UTF-8 (English: 4; CJK: 3), 8 a message."""
        return sum(8 + -(-len(wire_text(text).encode("utf-8")) // 3) for _, text in self.messages)


@dataclass(frozen=True)
class Answer:
    """What came back. Without a `body` there is no answer, and `reason` says why."""

    body: Mapping[str, Any] | None
    reason: str = ""
    cached: bool = False
    attempts: int = 0
    choice: Mapping[str, Any] = field(default_factory=dict)
    """The first choice of the body."""

    @property
    def text(self) -> str:
        """The answer's words; empty where there are none."""
        content = (self.choice.get("message") or {}).get("content")
        return content if isinstance(content, str) else ""

    @property
    def finish_reason(self) -> str:
        """ "stop", "length", "content_filter", ...; empty where it was not said."""
        return str(self.choice.get("finish_reason") or "")

    @property
    def completion_tokens(self) -> int | None:
        """As the server counts them; None where it does not say."""
        return usage_of(self.body or {})[1]

    def first_token(self) -> dict[str, float] | None:
        """Log-probabilities (nats) of the likeliest first tokens; None where there are none."""
        try:
            listed = self.choice["logprobs"]["content"][0]["top_logprobs"]
            return {str(one["token"]): float(one["logprob"]) for one in listed}
        except (KeyError, IndexError, TypeError, ValueError):
            return None


def read_body(data: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """(body, its first choice) of a chat completion.

    Raises:
        ValueError: it is none, or not whole.
    """
    try:
        body = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError("no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict) or not isinstance(message.get("content"), str | None):
        raise ValueError("no message")
    return body, choices[0]


def usage_of(body: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """(prompt, completion) tokens; None where the server does not say, never 0."""
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (
        prompt if type(prompt) is int and prompt >= 0 else None,
        completion if type(completion) is int and completion >= 0 else None,
    )
