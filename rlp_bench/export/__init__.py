"""Exports a run's policy as a Hugging Face checkpoint with a model card."""
