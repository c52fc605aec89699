"""Many methods and seeds with shared stages: schedule, jobs, tuning, and where jobs run."""
