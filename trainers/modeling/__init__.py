"""Checkpoints in and out, forward passes, LoRA, the scoring of pairs with shared prompts."""
