"""Sources of preference pairs: annotators, files, reward models, synthetic selection, the policy itself."""
