"""The command line: one `rlp-bench` with a command a file."""
