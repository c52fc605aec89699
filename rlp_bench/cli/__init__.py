"""The command line: one `rlp-bench`, one command a file with its options beside its code."""
