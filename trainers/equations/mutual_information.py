"""Estimates of mutual information from a critic's scores of positive (matched) and negative (mismatched) pairs."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus


def contrast(scores: Tensor, negatives: Literal["all", "roll"] = "all") -> tuple[Tensor, Tensor]:
    """Scores of the B positive pairs and of the negative pairs.

    Args:
        scores: (B, B); row i, column j is T(first view of prompt i, second view of prompt j); the diagonal has the
            positive pairs.
        negatives: "all" B(B − 1) other pairs, or "roll": one per prompt, with the first view of the previous prompt.

    Returns:
        (B,) positive and (B(B − 1),) or (B,) negative scores.

    Source: Hjelm et al. 2019 (arXiv:1808.06670) for "all"; Federici et al. 2020 (arXiv:2002.07017), code, for "roll".
    """
    if negatives == "roll":
        return scores.diagonal(), scores.roll(1, 0).diagonal()
    return scores.diagonal(), scores[~torch.eye(len(scores), dtype=torch.bool, device=scores.device)]


def jensen_shannon_objective(positive: Tensor, negative: Tensor) -> Tensor:
    """E₊[−softplus(−T)] − E₋[softplus(T)], to be maximized by the critic and its encoder. Scalar, at most 0.

    It is −2 log 2 for an uninformative critic (T = 0) and grows with the information, but it is *not* in nats; use
    `nwj_nats` for logging.

    Source: Nowozin et al. 2016 (arXiv:1606.00709); Hjelm et al. 2019 (arXiv:1808.06670), eq. 4. Departs: they add
    2 log 2, which changes no gradient.
    """
    return -softplus(-positive).mean() - softplus(negative).mean()


def nwj_nats(positive: Tensor, negative: Tensor) -> Tensor:
    """E₊[T] − E₋[eᵀ] + 1: a lower bound of the mutual information in nats. Scalar, fp64.

    Tight if T is the log density ratio, which is the optimum of `jensen_shannon_objective`. A single negative pair
    with a large score makes it very negative, a sign that the critic has overfitted.

    Source: Nguyen, Wainwright and Jordan 2010, shifted by one as in Poole et al. 2019 (arXiv:1905.06922).
    """
    return positive.double().mean() - negative.double().exp().mean() + 1


def infonce_nats(scores: Tensor) -> Tensor:
    """log B + mean log-softmax of the positive pair in its row: a lower bound in nats, at most log B. Scalar.

    Args:
        scores: (B, B) as in `contrast`; a constant added to a row changes nothing.

    Source: van den Oord et al. 2018 (arXiv:1807.03748), eq. 4 and 5.
    """
    return math.log(len(scores)) + scores.double().log_softmax(1).diagonal().mean()
