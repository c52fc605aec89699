"""From a policy or an outputs file to outputs, verdicts and a report; `rlp_bench.evaluate` is the way in."""
