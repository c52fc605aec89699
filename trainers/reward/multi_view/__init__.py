"""Reward models with an auxiliary multi-view objective on the policy's own samples (RLP-UML)."""
