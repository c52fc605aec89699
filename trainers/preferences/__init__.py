"""Where preference pairs come from: annotators, files, reward models, synthetic selection, the policy itself."""
