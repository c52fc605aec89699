"""Stages that create or sample a policy: SFT, best-of-n, sampling, a constant answer."""
