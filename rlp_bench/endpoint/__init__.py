"""Asking an OpenAI-compatible endpoint: many requests, each paid for once, whatever happens in between.

A leaf, like `micro`: it imports nothing of ours but errors, so that judges and engines may both ask through it.
"""

from rlp_bench.endpoint.budget import limit_spending
from rlp_bench.endpoint.client import Endpoint, spending
from rlp_bench.endpoint.connection import Connection
from rlp_bench.endpoint.request import Answer, Request

__all__ = ["Answer", "Connection", "Endpoint", "Request", "limit_spending", "spending"]
