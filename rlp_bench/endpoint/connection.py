"""Connection settings of an endpoint. The key is read from the environment and never stored."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from rlp_bench.api.errors import BenchError
from rlp_bench.endpoint.budget import Budget, Price
from rlp_bench.endpoint.cache import cache_file, default_cache

OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent where no key is set: local servers need none, but the client requires one."""
AZURE_QUERY, AZURE_HEADER = "api-version", "api-key"
"""Azure OpenAI's addresses carry `?api-version=...`, and it reads the key from this header."""
FROM_ENVIRONMENT = "env:"
"""A header or query value `env:NAME` is read from $NAME when a request is sent, and stored as `env:NAME`."""
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The name of an HTTP header."""


@dataclass(frozen=True)
class Connection:
    """Connection settings; only `base_url`, `provider`, `query` and `headers` can change an answer; they enter the
    request keys.
    """

    base_url: str = ""
    """Empty: $OPENAI_BASE_URL, else OpenAI's."""
    provider: str = ""
    """Replaces the address in request keys, so that cached answers stay valid when a server moves."""
    query: str = "{}"
    """More parameters of the address, as a JSON object of texts (`extra_query.NAME=VALUE`)."""
    headers: str = "{}"
    """More headers, as a JSON object of texts (`extra_headers.NAME=VALUE`)."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable with the API key."""
    key_header: str = ""
    """Header that carries the key; empty: Authorization, or api-key where the address has an api-version."""
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
        if self.key_header and not TOKEN.fullmatch(self.key_header):
            raise BenchError(f'key_header="{self.key_header}": expected the name of a header, e.g. api-key')
        self.url()

    def url(self) -> str:
        """The normalized base URL.

        Raises:
            BenchError: it is not an http address, or contains a password or a query (which would be stored).
        """
        parts = urlsplit(self._address())
        if "@" in parts.netloc or set(dict(parse_qsl(parts.query, keep_blank_values=True))) - {AZURE_QUERY}:
            raise BenchError(
                f'base_url "{parts.scheme}://{parts.hostname}/...": contains a password or a query, which would be '
                f"stored with the answers; give the key by ${self.key_env}, and other parameters by "
                "extra_query.NAME=VALUE"
            )
        return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path.rstrip("/"), "", ""))

    def _address(self) -> str:
        given = self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
        try:
            parts = urlsplit(given)
            usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
        except ValueError:  # a port that is no number, an unclosed bracket
            usable = False
        if not usable or not given.isprintable() or " " in given:
            shown = given.rpartition("@")[2].partition("?")[0].encode("unicode_escape").decode()
            raise BenchError(f'base_url "{shown}": expected an address such as {OPENAI}')
        return given

    def query_given(self) -> dict[str, str]:
        """The parameters of the address as given, `env:NAME` unread: for keys and manifests."""
        version = dict(parse_qsl(urlsplit(self._address()).query))
        return {**version, **json.loads(self.query)}

    def headers_given(self) -> dict[str, str]:
        """The additional headers as given, `env:NAME` unread: for keys and manifests."""
        found: dict[str, str] = json.loads(self.headers)
        return found

    def sent_query(self) -> dict[str, str]:
        """The parameters of the address to send."""
        return _from_environment("extra_query", self.query_given())

    def sent_headers(self) -> dict[str, str]:
        """The additional headers to send."""
        return _from_environment("extra_headers", self.headers_given())

    def header_of_key(self) -> str:
        """The header that carries the key."""
        return self.key_header or (AZURE_HEADER if AZURE_QUERY in self.query_given() else "Authorization")

    def secrets(self) -> list[str]:
        """The key and the values read from the environment, longest first: to be removed from all that is written."""
        given = {**self.query_given(), **self.headers_given()}
        read = {**self.sent_query(), **self.sent_headers()}
        found = {read[name] for name, value in given.items() if value.startswith(FROM_ENVIRONMENT)}
        key = self.key()
        return sorted(found | ({key} if key != NO_KEY else set()), key=len, reverse=True)

    def provider_name(self) -> str:
        """The name of this endpoint in request keys and manifests."""
        return self.provider or self.url()

    def key(self) -> str:
        """The API key from the environment.

        Raises:
            BenchError: it is not set, and the endpoint is OpenAI's; or it is no key.
        """
        key = os.environ.get(self.key_env, "").strip()
        if not key and self.url() == OPENAI:
            raise BenchError(f"{OPENAI}: no key; set ${self.key_env}, or give base_url=... of another server")
        _check_secret(self.key_env, key)
        return key or NO_KEY

    def price(self) -> Price:
        """The given token prices."""
        return Price(self.price_in, self.price_out)

    def cache_path(self) -> Path:
        """The path of the cache file."""
        return cache_file(Path(self.cache)) if self.cache else default_cache()


def _from_environment(option: str, given: Mapping[str, str]) -> dict[str, str]:
    found = dict(given)
    for name, value in given.items():
        if value.startswith(FROM_ENVIRONMENT):
            variable = value.removeprefix(FROM_ENVIRONMENT)
            found[name] = os.environ.get(variable, "").strip()
            if not found[name]:
                raise BenchError(f"{option}.{name}={value}: ${variable} is not set; set it")
            _check_secret(variable, found[name])
    return found


def _check_secret(variable: str, value: str) -> None:
    """Raises BenchError, without the value, if it cannot be a key in a header."""
    if value[:1] in "\"'" and value:
        problem = "begins with a quotation mark"
    elif not value.isascii():
        problem = "contains a character that is not ASCII"
    elif not value.isprintable() or " " in value:
        problem = "contains a line break or a space"
    else:
        return
    raise BenchError(f"${variable}: {problem}; expected the key alone; set it again without it")
