"""What each command does; `rlp_bench.cli` parses and imports these when they are needed."""
