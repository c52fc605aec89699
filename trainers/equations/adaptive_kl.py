"""A KL coefficient that follows a target."""


def adapted_beta(beta: float, kl: float, target: float, rate: float = 0.1, limit: float = 0.2) -> float:
    """β ← β (1 + rate · clip(KL / target − 1, ±limit)).

    Args:
        beta: KL coefficient now.
        kl: observed KL, nats a response (mean over the rollout).
        target: KL to hold, same unit, above 0.
        rate: how strongly one observation counts.
        limit: largest relative error that counts, so that β moves at most rate · limit at a time.

    Source: Ziegler et al. 2019 (arXiv:1909.08593), section 2.2, as AlpacaFarm's `AdaptiveKLController` has it.
    """
    return beta * (1.0 + rate * min(max(kl / target - 1.0, -limit), limit))
