"""A method's graph of stages, validated before a run, and estimates of its cost."""
