"""Adaptive KL coefficient: it rises while the KL is above a target and falls while it is below."""


def adapted_beta(beta: float, kl: float, target: float, rate: float = 0.1, limit: float = 0.2) -> float:
    """The updated coefficient, β ← β (1 + rate · clip(KL / target − 1, ±limit)).

    Args:
        beta: current KL coefficient.
        kl: observed KL, nats per response (mean over the rollout).
        target: target KL, same unit, above 0.
        rate: gain of the controller.
        limit: clip of the relative error, so that β changes by at most a factor 1 ± rate · limit per update.

    Source: Ziegler et al. 2019 (arXiv:1909.08593), section 2.2, as in AlpacaFarm's `AdaptiveKLController`.
    """
    return beta * (1.0 + rate * min(max(kl / target - 1.0, -limit), limit))
