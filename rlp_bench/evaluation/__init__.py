"""From a policy or an outputs file to outputs, verdicts and a report; `rlp_bench.evaluation.evaluate` is the way in."""
