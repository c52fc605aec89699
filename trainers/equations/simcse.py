"""SimCSE: recognize a text's second view among the second views of all texts of a batch."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


def simcse_loss(first: Tensor, second: Tensor, temperature: float = 0.05) -> Tensor:
    """The loss of each text, −log [exp(cos(sᵢ, tᵢ)/τ) / Σⱼ exp(cos(sᵢ, tⱼ)/τ)].

    Args:
        first, second: (N, d) features s and t of two views of N different texts.
        temperature: τ.

    Returns:
        (N,) nats; the caller averages. log N where all cosines are equal.

    Source: Gao et al. 2021 (arXiv:2104.08821), equation 4, τ = .05; Wang et al. 2024 (arXiv:2401.06080), equation 9.
    """
    cosines = normalize(first, dim=-1) @ normalize(second, dim=-1).T
    return cross_entropy(
        cosines / temperature, torch.arange(len(first), device=first.device), reduction="none"
    )
