"""Predicts what a run needs: parameters, memory per device, tokens, FLOPs, hours and cost, and whether it fits.

`shapes` reads a checkpoint's sizes; `workload` gets the work of each stage from its trainer; `memory`, `flops` and
`time` compute the numbers for an accelerator of `accelerators.toml`; `advice` lists changes that make a stage fit.
"""
