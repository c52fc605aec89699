"""rlp-bench: a benchmark for reward learning on policy. Importing it loads no heavy package."""

__version__ = "0.1.0"
