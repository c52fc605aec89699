"""Preference strength: differences of several reward models on every pair."""
