"""Code shared by all training loops: processes, checkpoints of unfinished stages, optimizers, setting types."""
