"""Client of OpenAI-compatible endpoints: concurrent requests, a persistent cache, retries and budgets.

It imports only `rlp_bench.api.errors`, so that judges and engines can both use it.
"""

from rlp_bench.endpoint.budget import limit_spending
from rlp_bench.endpoint.check import check_endpoint
from rlp_bench.endpoint.client import Endpoint, spending
from rlp_bench.endpoint.connection import Connection
from rlp_bench.endpoint.request import Answer, Request

__all__ = ["Answer", "Connection", "Endpoint", "Request", "check_endpoint", "limit_spending", "spending"]
