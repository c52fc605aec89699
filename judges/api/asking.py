"""Converts pairs to requests and answers to verdicts.

There is one pair per request: in a batch, a missing verdict shifts the following ones and pairs influence each other.
"""

import json
from dataclasses import dataclass
from typing import Any

from rlp_bench.api import Pair, Verdict, content_id
from rlp_bench.endpoint import Answer, Request

from .parsers import PARSERS, WEIGHTED_VERSION, weighted
from .prompts import Prompt

REASON_CHARACTERS = 200


@dataclass(frozen=True)
class Asking:
    """Model, prompt, decoding and parser: everything that determines a verdict besides the pair and the seed."""

    provider: str
    model: str
    prompt: Prompt
    parser: str = "letter"
    """A key of PARSERS; not used with `top_logprobs`."""
    snapshot: str = ""
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = 16
    max_tokens_name: str = "max_tokens"
    top_logprobs: int | None = None
    """If set, the two labels are weighed by their probability instead of parsing the reply."""
    send_seed: bool = True
    extra: str = "{}"
    query: str = "{}"
    """Parameters of the address, as a JSON object."""
    headers: str = "{}"
    """Additional headers, as a JSON object; values from the environment as `env:NAME`."""
    seat: str = ""
    """Name of the annotator in a pool; annotators with equal requests get different seeds by it."""

    def request(self, pair: Pair, seed: int) -> Request:
        """The request for one pair. The seed is always in the cache key; it is sent if `send_seed` is set."""
        return Request(
            provider=self.provider,
            model=self.model,
            snapshot=self.snapshot,
            messages=self.prompt.messages(pair),
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            max_tokens_name=self.max_tokens_name,
            seed=self._own_seed(seed) if self.send_seed else None,
            top_logprobs=self.top_logprobs,
            extra=self.extra,
            query=self.query,
            headers=self.headers,
            prompt=self.prompt.sha256,
            draw=self._own_seed(seed),
        )

    def _own_seed(self, seed: int) -> int:
        return int(content_id("seat", self.seat, str(seed)), 16) % 2**31 if self.seat else seed

    def verdict(self, answer: Answer) -> Verdict:
        """The preference for the first answer of the pair, or no verdict with a reason."""
        if answer.body is None:
            return Verdict(None, answer.reason)
        if answer.finish_reason == "content_filter":
            return Verdict(None, "unparsed: the provider's filter cut the reply", answer.text)
        if self.top_logprobs is not None:
            return self._weighted(answer)
        if answer.finish_reason == "length":
            limit = "its limit" if self.max_tokens is None else f"{self.max_tokens} tokens"
            return Verdict(None, f"truncated: the reply was cut at {limit}", answer.text)
        if not answer.final_text:
            return Verdict(None, _without_text(answer), answer.text or answer.refusal or answer.reasoning)
        preference = PARSERS[self.parser][1](answer.final_text)
        return Verdict(preference, "" if preference is not None else "unparsed", answer.text)

    def _weighted(self, answer: Answer) -> Verdict:
        tokens = answer.first_token()
        if tokens is None:
            reason = "unparsed: the server gave no log-probabilities"
            if (answer.choice.get("logprobs") or {}) != {}:
                reason = "unparsed: the server gave values that are no log-probabilities"
            return Verdict(None, reason, answer.text)
        preference = weighted(tokens)
        raw = json.dumps(tokens, sort_keys=True)
        return Verdict(preference, "" if preference is not None else "unparsed", raw)

    def manifest(self) -> dict[str, Any]:
        """The options that can change a verdict, as plain JSON; no API key, concurrency or cache settings."""
        parser = (
            ("weighted", WEIGHTED_VERSION)
            if self.top_logprobs is not None
            else (self.parser, PARSERS[self.parser][0])
        )
        return {
            "provider": self.provider,
            "model": self.model,
            "snapshot": self.snapshot or self.model,
            "prompt": self.prompt.name,
            "prompt_sha256": self.prompt.sha256,
            "parser": f"{parser[0]} {parser[1]}",
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "top_logprobs": self.top_logprobs,
            "send_seed": self.send_seed,
            "extra": json.loads(self.extra),
            **({} if self.query == "{}" else {"extra_query": json.loads(self.query)}),
            **({} if self.headers == "{}" else {"extra_headers": json.loads(self.headers)}),
        }


def _without_text(answer: Answer) -> str:
    """Why an answer without text has no verdict."""
    if answer.refusal:
        return "unparsed: the model refused"
    if answer.calls_tool:
        return "unparsed: the reply is a tool call, not text"
    return "unparsed: the reply has reasoning but no answer" if answer.reasoning else "unparsed"
