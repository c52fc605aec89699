"""What every training loop shares: processes, checkpoints of unfinished stages, optimizers, setting types."""
