"""Symmetrized KL divergence between two diagonal Gaussians, such as the encodings of two views of one prompt."""

from torch import Tensor


def symmetrized_kl(mean_1: Tensor, std_1: Tensor, mean_2: Tensor, std_2: Tensor) -> Tensor:
    """½ [KL(p₁‖p₂) + KL(p₂‖p₁)] in closed form; the logarithms of the two directions cancel.

    Per dimension ¼ [(σ₁² + δ²)/σ₂² + (σ₂² + δ²)/σ₁²] − ½ with δ = μ₁ − μ₂.

    Args:
        mean_1, std_1, mean_2, std_2: (B, Z); standard deviations are positive.

    Returns:
        (B,) nats, summed over dimensions, at least 0; the caller averages.

    Source: Lang et al. 2024 (arXiv:2403.19279), section 3.1 (D_SKL); Federici et al. 2020 (arXiv:2002.07017), eq. 4.
    """
    squared = (mean_1 - mean_2) ** 2
    first, second = std_1**2, std_2**2
    return ((first + squared) / second + (second + squared) / first - 2).sum(-1) / 4


def symmetrized_kl_sample(
    mean_1: Tensor, std_1: Tensor, mean_2: Tensor, std_2: Tensor, latent_1: Tensor, latent_2: Tensor
) -> Tensor:
    """Its one-sample estimate: ½ [log p₁(z₁) − log p₂(z₁) + log p₂(z₂) − log p₁(z₂)].

    Args:
        mean_1, std_1, mean_2, std_2: (B, Z).
        latent_1, latent_2: (B, Z), drawn from p₁ and from p₂.

    Returns:
        (B,) nats; unbiased, but of high variance and possibly negative.

    Source: Federici et al. 2020 (arXiv:2002.07017), as their code estimates it.
    """

    def excess(latent: Tensor, own: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
        to_own, to_other = ((latent - mean) / std for mean, std in (own, other))
        return ((to_other**2 - to_own**2) / 2 + other[1].log() - own[1].log()).sum(-1)

    first, second = (mean_1, std_1), (mean_2, std_2)
    return (excess(latent_1, first, second) + excess(latent_2, second, first)) / 2
