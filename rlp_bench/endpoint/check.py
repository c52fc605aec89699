"""Checks an endpoint before the work that needs it: its key, and whether its address answers."""

import asyncio

from rlp_bench.api.errors import BenchError
from rlp_bench.endpoint.connection import Connection
from rlp_bench.endpoint.http import open_client, proxies_in_use, request_headers
from rlp_bench.endpoint.loop import run_coroutine
from rlp_bench.endpoint.retry import Fault, fault_of

SECONDS = 10.0
"""Longest wait for an answer to this check; ours."""
REFUSED = (401, 402)
"""Statuses of a key that the server refuses. Others (404, 403) answer for a server without a list of models."""


def check_endpoint(connection: Connection, reach: bool) -> None:
    """Checks the key and, with `reach`, asks the server for its list of models; no completion is requested.

    Raises:
        BenchError: the key is missing or refused, or the server does not answer.
    """
    key = connection.key()
    secrets = connection.secrets()
    if not reach:
        return
    found: list[Fault | None] = []

    async def ask() -> None:
        client = open_client(connection, key)
        try:
            async with asyncio.timeout(SECONDS):
                await client.with_options(timeout=SECONDS).models.with_raw_response.list(
                    extra_headers=request_headers(connection, key)
                )
        except Exception as error:
            found.append(fault_of(error, secrets, (), proxies_in_use()))
        finally:
            await client.close()

    run_coroutine(ask())
    fault = found[0] if found else None
    if fault is None:
        return
    where = connection.url()
    if fault.status in REFUSED:
        raise BenchError(f"{where}: {fault.reason}; check ${connection.key_env}")
    if fault.status is None:
        raise BenchError(
            f"{where}: {fault.reason}; check that the server is running, and base_url; or skip this check by --no-check"
        )
