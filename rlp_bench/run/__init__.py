"""Carries a plan out, stage by stage, in this process or in several, and records the run."""
