"""Where an endpoint is and how it is asked. The key comes from the environment and stays in this process."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from rlp_bench.api.errors import BenchError
from rlp_bench.endpoint.budget import Budget, Price
from rlp_bench.endpoint.cache import cache_file, default_cache

OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent where no key is set: local servers ask for none, but the client wants one."""


@dataclass(frozen=True)
class Connection:
    """None of this changes an answer but `base_url` and `provider`, which are in every request's key."""

    base_url: str = ""
    """Empty: $OPENAI_BASE_URL, else OpenAI's."""
    provider: str = ""
    """A name for who answers, in place of the address: a server may then move and its answers stay known."""
    key_env: str = "OPENAI_API_KEY"
    """Variable that holds the key."""
    timeout: float = 120.0
    """Seconds for one attempt, from first byte sent to last byte read; ours."""
    attempts: int = 8
    """Most times that one request is sent before it counts as failed; ours."""
    first_pause: float = 0.5
    """Seconds before the second attempt; doubles from there."""
    max_concurrency: int = 100
    """Most requests under way; inspect_ai's default."""
    cache: str = ""
    """A *.sqlite file or a folder; empty: $RLP_BENCH_CACHE, else the person's cache folder."""
    retry_failures: bool = True
    """Whether requests that failed in an earlier run are sent again."""
    price_in: float | None = None
    """Dollars a million prompt tokens."""
    price_out: float | None = None
    """Dollars a million completion tokens."""
    budget: str = ""
    """Dollars ("5") or tokens ("200000tokens") for this endpoint alone; empty: no limit of its own."""

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
                raise BenchError(f"{name}={value}: expected dollars a million tokens")
        if self.budget:
            Budget.parse(self.budget, "budget")
        self.url()

    def url(self) -> str:
        """The base URL in one spelling.

        Raises:
            BenchError: it is no http address, or holds a password or a query, where keys would be kept.
        """
        given = self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BenchError(f'base_url "{given}": expected an address such as {OPENAI}')
        if "@" in parts.netloc or parts.query:
            raise BenchError(
                f'base_url "{parts.scheme}://{parts.hostname}/...": holds a password or a query; it would be kept '
                f"with the answers, so give the key by ${self.key_env}"
            )
        return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))

    def provider_name(self) -> str:
        """What stands for this endpoint in requests and manifests."""
        return self.provider or self.url()

    def key(self) -> str:
        """The key of this environment.

        Raises:
            BenchError: there is none, and OpenAI wants one.
        """
        key = os.environ.get(self.key_env, "").strip()
        if not key and self.url() == OPENAI:
            raise BenchError(f"{OPENAI}: no key; set ${self.key_env}, or give base_url=... of another server")
        return key or NO_KEY

    def price(self) -> Price:
        """What was given about prices."""
        return Price(self.price_in, self.price_out)

    def cache_path(self) -> Path:
        """The cache file."""
        return cache_file(Path(self.cache)) if self.cache else default_cache()
