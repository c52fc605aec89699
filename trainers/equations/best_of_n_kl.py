"""KL divergence between best-of-n and the policy that draws the candidates."""

import math


def kl_bound(n: int) -> float:
    """Upper bound of KL(best-of-n ‖ policy) in nats per response: log n − (n − 1) / n.

    Source: Stiennon et al. 2020 (arXiv:2009.01325), appendix G.3; Beirami et al. 2024 (arXiv:2401.01879) show that it
    is a bound.
    """
    return math.log(n) - (n - 1) / n
