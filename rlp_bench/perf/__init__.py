"""`rlp-bench bench`: fixed workloads on the embedded world, timed by pytest-benchmark and held against a baseline."""
