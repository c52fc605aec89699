"""Executors of jobs: processes of this machine, a Ray cluster, Slurm."""
