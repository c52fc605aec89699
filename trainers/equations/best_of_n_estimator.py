"""What best-of-n would give, from N samples drawn once, for every n up to N."""

import math

import torch
from torch import Tensor


def best_of_n_mean(scores: Tensor, n: int) -> Tensor:
    """Unbiased mean of the best of n: Σ_i C(i, n − 1) / C(N, n) · s_(i), i = 0-based rank, ascending.

    Args:
        scores: (..., N) scores of N independent samples.
        n: size of the choice, 1 ≤ n ≤ N.

    Returns:
        (...) the average of max over all C(N, n) subsets, without drawing one.

    Source: Nakano et al. 2021 (arXiv:2112.09332), appendix I. `best_of_n_value` reports another score of the winner.
    """
    return best_of_n_value(scores, scores, n)


def best_of_n_value(scores: Tensor, worth: Tensor, n: int) -> Tensor:
    """Unbiased mean `worth` of the sample that wins by `scores` among n. Shapes as `best_of_n_mean`.

    Ties in the scores go to the later sample of the row.
    """
    total = scores.shape[-1]
    if not 1 <= n <= total:
        raise ValueError(f"best of {n} from {total} samples: n must be between 1 and {total}")
    whole = math.comb(total, n)
    weights = torch.tensor(
        [math.comb(i, n - 1) / whole for i in range(total)], dtype=worth.dtype, device=worth.device
    )
    order = scores.argsort(dim=-1, stable=True)
    return (worth.gather(-1, order) * weights).sum(-1)
