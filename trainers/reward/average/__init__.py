"""The mean of several reward models."""
