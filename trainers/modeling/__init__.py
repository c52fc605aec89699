"""Loading and saving of checkpoints, forward passes, LoRA, scoring of pairs with shared prompts."""
