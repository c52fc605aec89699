"""The command line `rlp-bench`: one file per command, with its options."""
