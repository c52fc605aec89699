"""Runs many methods and seeds with shared stages: schedule, jobs, tuning and executors."""
