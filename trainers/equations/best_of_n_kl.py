"""How far best-of-n is from the policy that it draws from."""

import math


def kl_bound(n: int) -> float:
    """Upper bound of KL(best-of-n ‖ policy) in nats a response: log n − (n − 1) / n.

    Source: Stiennon et al. 2020 (arXiv:2009.01325), appendix G.3; a bound, see Beirami et al. 2024 (arXiv:2401.01879).
    """
    return math.log(n) - (n - 1) / n
