"""Shared code of judges on endpoints: prompts, requests, parsers. Requests are sent by `rlp_bench.endpoint`."""
