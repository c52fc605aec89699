"""What judges over an endpoint share: prompts, parsers, and from pairs to verdicts. Asking: `rlp_bench.endpoint`."""
