"""A pairwise judge on any OpenAI-compatible endpoint: "chat:MODEL,option=value,..." or "chat:FILE.toml".

The default prompt asks for one letter. `prompt=chat_reasoned` lets the judge reason first; `logprobs=true` weighs
the two letters by their probability, as in AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475, section 2).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from rlp_bench.api import DataError, Pair, Progress, UnknownName, Verdict, nearest
from rlp_bench.endpoint import Connection, Endpoint, check_endpoint
from rlp_bench.endpoint.options import MODEL, connection_of, model_of, read_options

from .api.asking import Asking
from .api.parsers import PARSERS
from .api.prompts import load_prompt

OPTIONS: dict[str, type] = {
    **MODEL,
    "prompt": str,
    "parser": str,
    "logprobs": bool,
    "top_logprobs": int,
    "temperature": float,
    "top_p": float,
    "max_tokens": int,
}
PARSER_OF = {"chat": "letter", "chat_reasoned": "verdict_line"}
TOKENS_OF = {"letter": 16, "verdict_line": 1024, "json_winner": 1024, "double_brackets": 1024}
TOP_LOGPROBS = 5
"""As AlpacaEval 2."""


class Chat:
    """A judge (`rlp_bench.api.Judge`); sends no request before `judge` is called."""

    name = "chat"
    version = "1"
    progress: Progress | None = None
    """Progress callback, called for every answer."""

    def __init__(self, argument: str = "") -> None:
        where = f'judge "chat:{argument}"'
        options = read_options(where, argument, OPTIONS)
        if not options.get("model"):
            raise DataError(
                'judge "chat": needs a model, e.g. --judge chat:gpt-4.1-2025-04-14; see docs/judging.md'
            )
        self.connection: Connection = connection_of(options)
        self.asking = _asking(where, options, self.connection)

    @cached_property
    def endpoint(self) -> Endpoint:
        """The endpoint, created once so that its tally covers all requests of this judge."""
        return Endpoint(self.connection)

    def manifest(self) -> Mapping[str, Any]:
        """All options that can change a verdict."""
        scale = "binary" if self.asking.top_logprobs is None else "soft"
        return {
            "name": self.name,
            "version": self.version,
            "noise": 0.0,
            "scale": scale,
            **self.asking.manifest(),
        }

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair; requests answered before are read from the cache."""
        requests = [self.asking.request(pair, seed) for pair in pairs]
        return [self.asking.verdict(answer) for answer in self.endpoint.ask(requests, self.progress)]

    def check(self, questions: Sequence[tuple[str, str]], *, reach: bool) -> str:
        """Checks the key and, with `reach`, whether the server answers; returns what was checked."""
        check_endpoint(self.connection, reach)
        return f"{self.connection.provider_name()}: {'answers' if reach else 'not asked'}"

    def estimate(self, pairs: Sequence[Pair], seed: int = 0) -> Mapping[str, Any]:
        """Upper bound of the requests, tokens and dollars for judging these pairs; sends nothing."""
        return self.endpoint.estimate([self.asking.request(pair, seed) for pair in pairs])

    def spent(self) -> Mapping[str, Any]:
        """The tally of this judge's requests so far."""
        return self.endpoint.tally.as_dict()


def _asking(where: str, options: Mapping[str, Any], connection: Connection) -> Asking:
    prompt = load_prompt(options.get("prompt", "chat"), where)
    weighted = options.get("logprobs", "top_logprobs" in options)
    parser = options.get("parser") or PARSER_OF.get(prompt.name, "letter")
    if parser not in PARSERS:
        raise UnknownName(f'{where}: no parser "{parser}"; {nearest(parser, PARSERS)}')
    if weighted and parser != "letter":
        raise DataError(
            f"{where}: logprobs=true with parser={parser}; expected parser=letter, because it reads the first token"
        )
    max_tokens = options.get("max_tokens", 1 if weighted else TOKENS_OF[parser])
    if max_tokens is not None and max_tokens < 1:
        raise DataError(f"{where}: max_tokens={max_tokens}: expected at least 1")
    return Asking(
        **model_of(options, connection),
        prompt=prompt,
        parser=parser,
        temperature=options.get("temperature", 1.0 if weighted else 0.0),
        top_p=options.get("top_p"),
        max_tokens=max_tokens,
        top_logprobs=options.get("top_logprobs", TOP_LOGPROBS) if weighted else None,
    )
