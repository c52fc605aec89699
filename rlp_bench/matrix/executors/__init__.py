"""Where the jobs of a matrix run: processes of this machine, a Ray cluster, Slurm jobs."""
