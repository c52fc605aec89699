"""The HTTP client: follows no redirect, reads no more than 16 MiB of a reply, names a proxy that it cannot use."""

import os
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.endpoint.connection import Connection
from rlp_bench.endpoint.retry import ReplyTooLarge

MAX_REPLY_BYTES = 2**24
"""Largest reply after decompression; a token with 5 log-probabilities takes about 500 bytes. Ours."""
PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
REDACT_FROM = 12
"""Shorter keys ("none", "EMPTY") are words, and are not removed from replies."""


def open_client(connection: Connection, key: str) -> Any:
    """The openai client of a connection, without retries of its own.

    Raises:
        BenchError: the proxy of the environment cannot be used.
    """
    import openai

    try:
        client = openai.DefaultAsyncHttpxClient(
            follow_redirects=False, timeout=connection.timeout, event_hooks={"response": [_read_limited]}
        )
    except Exception as error:  # ValueError, ImportError, OSError, or one of the HTTP client's own
        raise _unusable(error) from None
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=connection.url(),
        max_retries=0,
        timeout=connection.timeout,
        http_client=client,
        default_query=connection.sent_query(),
    )


def request_headers(connection: Connection, key: str) -> dict[str, Any]:
    """The headers of every request besides the client's own."""
    import openai

    headers: dict[str, Any] = dict(connection.sent_headers())
    header = connection.header_of_key()
    if header.lower() != "authorization":
        headers |= {"Authorization": openai.Omit(), header: key}
    return headers


async def _read_limited(response: Any) -> None:
    """Reads the whole body, whatever the status.

    Raises:
        ReplyTooLarge: it is longer than MAX_REPLY_BYTES after decompression.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > MAX_REPLY_BYTES:
            raise ReplyTooLarge(f"the reply is larger than {MAX_REPLY_BYTES // 2**20} MiB")
        chunks.append(chunk)
    response._content = b"".join(chunks)  # where httpx keeps a body that was read


def proxies_in_use() -> str:
    """The proxy variables that are set, each with scheme, host and port, for messages; empty if there is none."""
    found = []
    for name in PROXIES:
        for variable in (name, name.lower()):
            value = os.environ.get(variable)
            if value:
                found.append(f'${variable} ("{_without_password(value)}")')
                break
    return ", ".join(found)


def _without_password(proxy: str) -> str:
    scheme, mark, rest = proxy.rpartition("://")
    shown = f"{scheme if mark else 'http'}://{rest.rpartition('@')[2]}"
    return shown.encode("unicode_escape").decode()


def _unusable(error: Exception) -> BenchError:
    proxies = proxies_in_use()
    if not proxies:
        text = " ".join(str(error).split())
        return BenchError(
            f"endpoint: no HTTP client can be made ({text}); check $SSL_CERT_FILE and $NO_PROXY"
        )
    install = ", or for socks5:// run pip install socksio" if isinstance(error, ImportError) else ""
    return BenchError(
        f"proxy {proxies}: of a kind that the HTTP client does not support; expected http://HOST:PORT; set another, "
        f"or unset the variable{install}"
    )


def redact(data: bytes, secrets: list[str]) -> bytes:
    """The reply without the keys, which a server may echo."""
    for secret in secrets:
        if len(secret) >= REDACT_FROM:
            data = data.replace(secret.encode(), b"[key]")
    return data
