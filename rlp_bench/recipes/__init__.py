"""Recipes: the shipped TOML files, their schema, and what they name: data sources, hubs, base checkpoints."""
