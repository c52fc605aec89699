"""`rlp-bench bench`: fixed workloads on the micro world, timed by pytest-benchmark and compared with a baseline."""
