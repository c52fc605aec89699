"""Recipes: the shipped TOML files, their schema, data sources and base checkpoints."""
