"""Reward models with a contrastive objective on two dropout views of every response."""
