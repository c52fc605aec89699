"""What each command does; `rlp_bench.cli.main` parses and imports these when they are needed."""
