"""A run's policy as a Hugging Face checkpoint with its model card."""
