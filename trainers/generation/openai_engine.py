"""The engine for OpenAI-compatible endpoints: it samples, but cannot return scores or log-probabilities.

The policy is a folder with `endpoint.json`: model, snapshot, system text and everything else that affects an answer. A
rendered prompt is sent as one user message; the server applies its own chat template.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rlp_bench.api import BenchError, DataError, Decoding, Progress, Sample, content_id, estimated_tokens
from rlp_bench.endpoint import Answer, Connection, Endpoint, Request

FILE = "endpoint.json"
REFUSED = re.compile(r"failed: HTTP 4(?!08|09|25|29)\d\d\b")
"""Errors that a retry cannot fix: the server rejects the prompt."""


class OpenAIEngine:
    """`rlp_bench.api.protocols.Engine` with `sample` only."""

    progress: Progress | None = None
    """Progress callback, called for every answer."""

    def __init__(self, device: str = "cpu", processes: int = 1, connection: Connection | None = None) -> None:
        self.endpoint = Endpoint(connection or Connection())

    def requests(
        self, policy: Path, prompts: Sequence[str], decoding: Decoding, *, n: int = 1, seed: int = 0
    ) -> list[Request]:
        """n requests per prompt, each with its own draw number."""
        about = _read(policy)
        return [_request(about, prompt, decoding, seed, draw) for prompt in prompts for draw in range(n)]

    def sample(
        self, policy: Path, prompts: Sequence[str], decoding: Decoding, *, n: int = 1, seed: int = 0
    ) -> list[list[Sample]]:
        """Responses per rendered prompt; fewer than n if the server rejects a prompt (HTTP 4xx).

        Raises:
            BenchError: requests failed that a retry may fix; the other answers are cached for the next run.
        """
        answers = self.endpoint.ask(self.requests(policy, prompts, decoding, n=n, seed=seed), self.progress)
        lost = [one for one in answers if one.body is None]
        failed = lost if len(lost) == len(answers) else [one for one in lost if not REFUSED.match(one.reason)]
        if failed:
            [(reason, _)] = Counter(one.reason for one in failed).most_common(1)
            raise BenchError(
                f'policy "{_read(policy)["model"]}": {len(failed)} of {len(answers)} requests {reason}; '
                "the other answers are cached; run the same command to retry these"
            )
        if answers and not any(one.completion_tokens is not None for one in answers if one.body is not None):
            raise BenchError(
                'engine "openai": the server reports no token usage, so response lengths are unknown; save its answers '
                "as an outputs file and evaluate it with --outputs FILE"
            )
        rows = [answers[start : start + n] for start in range(0, len(answers), n)]
        return [[_sample(answer) for answer in row if answer.body is not None] for row in rows]

    def score(self, reward: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """Not supported; raises DataError."""
        _no("scores of a reward model")

    def logprobs(self, policy: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """Not supported; raises DataError."""
        _no("log-probabilities of given texts")

    def options(
        self, policy: Path, stems: Sequence[str], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Not supported; raises DataError."""
        _no("log-probabilities of given texts, as multiple-choice suites need them")


def _read(policy: Path) -> dict[str, Any]:
    path = Path(policy) / FILE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(
            f'engine "openai": "{policy}" has no readable {FILE}; expected a policy folder that names an endpoint; for '
            'a checkpoint use engine "transformers"'
        ) from None
    return found


def _request(about: Mapping[str, Any], prompt: str, decoding: Decoding, seed: int, draw: int) -> Request:
    omit = about.get("omit", ())
    own = int(content_id("draw", str(seed), str(draw)), 16) % 2**31 if draw else seed
    return Request(
        provider=about["provider"],
        model=about["model"],
        snapshot=about["snapshot"],
        messages=(*((("system", about["system"]),) if about["system"] else ()), ("user", prompt)),
        temperature=None if "temperature" in omit else decoding.temperature,
        top_p=None if decoding.top_p == 1 or "top_p" in omit else decoding.top_p,
        max_tokens=None if "max_tokens" in omit else decoding.max_response_tokens,
        max_tokens_name=about["max_tokens_name"],
        seed=own if about["send_seed"] else None,
        extra=about["extra"],
        query=about.get("query", "{}"),
        headers=about.get("headers", "{}"),
        draw=own,
    )


def _sample(answer: Answer) -> Sample:
    """The response without a reasoning block; a refusal is the response where there is no other text."""
    text = answer.final_text or answer.refusal
    count = answer.completion_tokens
    return Sample(
        text,
        estimated_tokens(text) if count is None else count,
        answer.finish_reason == "stop",
        raw="" if answer.text == text else answer.text,
        reasoning=answer.reasoning,
        tokens_estimated=count is None,
    )


def _no(what: str) -> NoReturn:
    raise DataError(f'engine "openai": an endpoint does not return {what}; remove what needs them')
