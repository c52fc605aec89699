"""Connection settings of an endpoint. The key is read from the environment and never stored."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from rlp_bench.api.errors import BenchError
from rlp_bench.endpoint.budget import Budget, Price
from rlp_bench.endpoint.cache import cache_file, default_cache

OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent where no key is set: local servers need none, but the client requires one."""


@dataclass(frozen=True)
class Connection:
    """Connection settings; only `base_url` and `provider` can change an answer and enter the request keys."""

    base_url: str = ""
    """Empty: $OPENAI_BASE_URL, else OpenAI's."""
    provider: str = ""
    """Replaces the address in request keys, so that cached answers stay valid when a server moves."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable with the API key."""
    timeout: float = 120.0
    """Seconds for one attempt, from first byte sent to last byte read; ours."""
    attempts: int = 8
    """Maximum attempts per request; ours."""
    first_pause: float = 0.5
    """Seconds before the second attempt; doubles with each further attempt."""
    max_concurrency: int = 100
    """Maximum number of requests in flight; inspect_ai's default."""
    cache: str = ""
    """A *.sqlite file or a folder; empty: $RLP_BENCH_CACHE, else the user's cache folder."""
    retry_failures: bool = True
    """Whether requests that failed in an earlier run are sent again."""
    price_in: float | None = None
    """Dollars per million prompt tokens."""
    price_out: float | None = None
    """Dollars per million completion tokens."""
    budget: str = ""
    """Budget of this endpoint: dollars ("5") or tokens ("200000tokens"); empty: no limit."""

    def __post_init__(self) -> None:
        for name, least in (("timeout", 0), ("attempts", 1), ("first_pause", 0), ("max_concurrency", 1)):
            value = getattr(self, name)
            if not value >= least or value == float("inf") or (name == "timeout" and value == 0):
                raise BenchError(
                    f"{name}={value}: expected {'more than' if name == 'timeout' else 'at least'} {least}"
                )
        for name in ("price_in", "price_out"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise BenchError(f"{name}={value}: expected dollars per million tokens")
        if self.budget:
            Budget.parse(self.budget, "budget")
        self.url()

    def url(self) -> str:
        """The normalized base URL.

        Raises:
            BenchError: it is not an http address, or contains a password or a query (which would be stored).
        """
        given = self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BenchError(f'base_url "{given}": expected an address such as {OPENAI}')
        if "@" in parts.netloc or parts.query:
            raise BenchError(
                f'base_url "{parts.scheme}://{parts.hostname}/...": contains a password or a query, which would be '
                f"stored with the answers; give the key by ${self.key_env}"
            )
        return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))

    def provider_name(self) -> str:
        """The name of this endpoint in request keys and manifests."""
        return self.provider or self.url()

    def key(self) -> str:
        """The API key from the environment.

        Raises:
            BenchError: it is not set, and the endpoint is OpenAI's.
        """
        key = os.environ.get(self.key_env, "").strip()
        if not key and self.url() == OPENAI:
            raise BenchError(f"{OPENAI}: no key; set ${self.key_env}, or give base_url=... of another server")
        return key or NO_KEY

    def price(self) -> Price:
        """The given token prices."""
        return Price(self.price_in, self.price_out)

    def cache_path(self) -> Path:
        """The path of the cache file."""
        return cache_file(Path(self.cache)) if self.cache else default_cache()
