"""Sealed artifacts by content address: made once, opened by hash, verified, collected."""
