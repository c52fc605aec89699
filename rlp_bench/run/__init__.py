"""Runs a plan stage by stage, in this process or in several, and records the run."""
