"""Heads of the unsupervised objectives on a reward model's backbone. All fp32, all discarded after training.

Letters: B prompts, d hidden size, Z latent size, K prototypes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import FEATURES


def three_layers(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """An MLP: Linear, ReLU, Linear, ReLU, Linear."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
    )


class Encoder(nn.Module):
    """Diagonal Gaussian p(z|v): v (B, d) -> mean (B, Z), standard deviation softplus(·) + 1e-7 (B, Z).

    Two networks (Lang et al. 2024, section 3.1), or one with 2 Z outputs (Federici et al. 2020, code).
    """

    def __init__(self, hidden_size: int, width: int, latent: int, shared_trunk: bool = False) -> None:
        super().__init__()
        outputs = [2 * latent] if shared_trunk else [latent, latent]
        self.networks = nn.ModuleList(three_layers(hidden_size, width, each) for each in outputs)

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation."""
        parts = torch.cat([network(view.float()) for network in self.networks], dim=-1)
        mean, raw = parts.chunk(2, dim=-1)
        return mean, functional.softplus(raw) + 1e-7


class Critic(nn.Module):
    """T(a, b) of every pair: (B, m), (C, n) -> (B, C), unbounded. An MLP on the concatenated pair, not symmetric."""

    def __init__(self, first: int, second: int, width: int) -> None:
        super().__init__()
        self.network = three_layers(first + second, width, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Row i, column j: T(first of i, second of j)."""
        rows, columns = len(first), len(second)
        pairs = [first.float()[:, None].expand(-1, columns, -1), second.float()[None].expand(rows, -1, -1)]
        return self.network(torch.cat(pairs, dim=-1)).squeeze(-1)


class Prototypes(nn.Module):
    """Features on the unit sphere, and their cosine similarity with each of K prototypes.

    Source: Caron et al. 2020 (arXiv:2006.09882), section 3. Departs: no batch norm in the projection.
    """

    def __init__(self, hidden_size: int, width: int, prototypes: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(hidden_size, width), nn.ReLU(), nn.Linear(width, FEATURES))
        self.prototypes = nn.Linear(FEATURES, prototypes, bias=False)

    def forward(self, view: Tensor) -> Tensor:
        """(B, d) -> unit features (B, 128)."""
        return functional.normalize(self.projection(view.float()), dim=-1)

    def scores(self, features: Tensor) -> Tensor:
        """(B, 128) -> cosine similarities (B, K)."""
        return features @ functional.normalize(self.prototypes.weight, dim=-1).T


class FeatureQueue(nn.Module):
    """The most recent features of each view, newest first; used once it is full, as in SwAV.

    Stored as a parameter without gradient, so that checkpoints include it.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.zeros(2, size, FEATURES), requires_grad=False)

    def before(self, view: int, features: Tensor) -> Tensor:
        """The queue's features followed by the given ones, or the given ones alone while it fills. No gradient."""
        queue = self.features[view]
        full = len(queue) > 0 and bool(queue[-1].any())
        return torch.cat([queue, features.detach()]) if full else features.detach()

    @torch.no_grad()
    def push(self, view: int, features: Tensor) -> None:
        """Inserts features at the front and removes the oldest."""
        size = self.features.shape[1]
        self.features[view].copy_(torch.cat([features.detach(), self.features[view]])[:size])
