"""What a run needs, said before it runs: parameters, memory a device, tokens, FLOPs, hours, cost, and whether it fits.

`shapes` reads a checkpoint's sizes, `work` what each stage does with which models, `memory`, `flops` and `hours` put
numbers on it for an accelerator of `accelerators.toml`, `advice` says what would make a stage fit.
"""
