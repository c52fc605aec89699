"""Unbiased estimates of best-of-n for every n up to N, from N samples drawn once."""

import math

import torch
from torch import Tensor


def best_of_n_mean(scores: Tensor, n: int) -> Tensor:
    """Unbiased mean of the best of n: Σ_i C(i, n − 1) / C(N, n) · s_(i), i = 0-based rank, ascending.

    Args:
        scores: (..., N) scores of N independent samples.
        n: number of candidates, 1 ≤ n ≤ N.

    Returns:
        (...) the mean of the maximum over all C(N, n) subsets, computed without enumerating them.

    Source: Nakano et al. 2021 (arXiv:2112.09332), appendix I.
    """
    return best_of_n_value(scores, scores, n)


def best_of_n_value(scores: Tensor, worth: Tensor, n: int) -> Tensor:
    """Unbiased mean `worth` of the sample with the highest `scores` among n. Shapes as in `best_of_n_mean`.

    If scores tie, the later sample of the row wins.
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
