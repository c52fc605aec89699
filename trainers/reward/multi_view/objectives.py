"""Objectives on two views of each prompt: RLP-UML and its ablations.

Each takes the hidden states (B, d) at the reward head's input for two responses to each of B distinct prompts, and
returns a loss and log entries. Gradients flow to the backbone through both views.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from ...equations.gaussian_kl import symmetrized_kl, symmetrized_kl_sample
from ...equations.infomax import infomax_loss
from ...equations.multi_view_bottleneck import multi_view_bottleneck_loss
from ...equations.mutual_information import contrast, infonce_nats, jensen_shannon_objective, nwj_nats
from ...equations.sinkhorn import sinkhorn_assignments
from ...equations.swapped_prediction import swapped_prediction_loss
from .heads import Critic, Encoder, FeatureQueue, Prototypes

Terms = dict[str, float]
Negatives = Literal["all", "roll"]

COLLAPSED = 0.05
"""A representation counts as collapsed if the ratio of the means' spread over prompts to the noise, or of the features'
spread to their norm, is below this: per dimension it has ½ log(1 + .05²) = .0012 nats of information. Ours."""
NO_NOISE = 1e-3
"""Mean standard deviation below which the encoder counts as deterministic. InfoMax does not prevent this. Ours."""


class GaussianViews(nn.Module):
    """Base of objectives with a Gaussian encoder."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def draw(self, view: Tensor, chance: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(mean, standard deviation, sample) of each prompt, (B, Z)."""
        mean, std = self.encoder(view)
        noise = torch.randn(mean.shape, generator=chance).to(mean)
        return mean, std, mean + std * noise


class MultiViewBottleneck(GaussianViews):
    """RLP-UML's L_M; with β = 0 its ablation MVI."""

    def __init__(
        self, encoder: Encoder, critic: Critic, negatives: Negatives, divergence: Literal["closed", "mc"],
        beta: Callable[[int], float],
    ) -> None:  # fmt: skip
        super().__init__(encoder)
        self.critic, self.negatives, self.divergence, self.beta = critic, negatives, divergence, beta

    def forward(self, first: Tensor, second: Tensor, step: int, chance: Generator) -> tuple[Tensor, Terms]:
        """The loss of update `step`, and log entries."""
        mean_1, std_1, latent_1 = self.draw(first, chance)
        mean_2, std_2, latent_2 = self.draw(second, chance)
        scores = self.critic(latent_1, latent_2)
        information = jensen_shannon_objective(*contrast(scores, self.negatives))
        if self.divergence == "closed":
            divergence = symmetrized_kl(mean_1, std_1, mean_2, std_2)
        else:
            divergence = symmetrized_kl_sample(mean_1, std_1, mean_2, std_2, latent_1, latent_2)
        beta = self.beta(step)
        loss = multi_view_bottleneck_loss(information, divergence, beta)
        return loss, {
            **_information_terms(information, [scores], self.negatives),
            "skl": float(divergence.detach().mean()),
            "skl_weight": beta,
            **_encoding_terms(mean_1, std_1),
        }


class InfoMax(GaussianViews):
    """Mutual information between a (detached) hidden state and its own encoding; mean of both views."""

    def __init__(self, encoder: Encoder, critic: Critic, negatives: Negatives) -> None:
        super().__init__(encoder)
        self.critic, self.negatives = critic, negatives

    def forward(self, first: Tensor, second: Tensor, step: int, chance: Generator) -> tuple[Tensor, Terms]:
        """The loss, and log entries."""
        mean_1, std_1, latent_1 = self.draw(first, chance)
        mean_2, std_2, latent_2 = self.draw(second, chance)
        scores = [self.critic(view.detach(), z) for view, z in ((first, latent_1), (second, latent_2))]
        information = [jensen_shannon_objective(*contrast(each, self.negatives)) for each in scores]
        loss = infomax_loss(*information)
        return loss, {
            **_information_terms(-loss, scores, self.negatives),
            "skl": float(symmetrized_kl(mean_1, std_1, mean_2, std_2).detach().mean()),
            **_encoding_terms(mean_1, std_1),
        }


class SwappedPrediction(nn.Module):
    """CL: each view predicts the prototype assignment of the other (SwAV).

    Departs: prototypes are trained from the first update (SwAV freezes them for 313), the queue is used once it is
    full (SwAV: from epoch 15).
    """

    def __init__(self, heads: Prototypes, queue: FeatureQueue) -> None:
        super().__init__()
        self.heads, self.queue = heads, queue

    def forward(self, first: Tensor, second: Tensor, step: int, chance: Generator) -> tuple[Tensor, Terms]:
        """The loss, and log entries. In train mode the features are added to the queue."""
        features = [self.heads(first), self.heads(second)]
        scores = [self.heads.scores(each) for each in features]
        assigned = []
        for view, each in enumerate(features):
            with torch.no_grad():
                known = self.heads.scores(self.queue.before(view, each))
            assigned.append(sinkhorn_assignments(known)[-len(each) :])
            if self.training:
                self.queue.push(view, each)
        loss = swapped_prediction_loss(scores[0], scores[1], assigned[0], assigned[1]).mean()
        return loss, _feature_terms(features[0].detach(), features[1].detach(), scores[0].detach())


def _information_terms(objective: Tensor, scores: list[Tensor], negatives: Negatives) -> Terms:
    """Log entries of the critic: the Jensen-Shannon objective (not in nats) and lower bounds in nats."""
    found = [each.detach() for each in scores]
    nwj = [float(nwj_nats(*contrast(each, negatives))) for each in found]
    infonce = [float(infonce_nats(each)) for each in found]
    shuffled = [float(nwj_nats(*contrast(_strangers(each), negatives))) for each in found]
    return {
        "jsd": float(objective.detach()),
        "mi_nats": sum(nwj) / len(nwj),
        "mi_infonce_nats": sum(infonce) / len(infonce),
        "mi_shuffled_nats": max(0.0, sum(shuffled) / len(shuffled)),
    }


def _strangers(scores: Tensor) -> Tensor:
    """A block of (B, B) scores with negative pairs only, on which a lower bound should not be above 0."""
    half = len(scores) // 2
    return scores[:half, half : 2 * half]


def _encoding_terms(mean: Tensor, std: Tensor) -> Terms:
    """Spread of the means over prompts and mean noise, averaged over dimensions, and whether this is a collapse."""
    spread, noise = float(mean.detach().std(0).mean()), float(std.detach().mean())
    collapsed = spread < COLLAPSED * noise or noise < NO_NOISE
    return {"mu_std": spread, "mean_sigma": noise, "collapsed": float(collapsed)}


def _feature_terms(first: Tensor, second: Tensor, scores: Tensor) -> Terms:
    """InfoNCE of the features, their spread in [0, 1] over prompts, and how many prototypes are in use."""
    spread = float((1 - first.mean(0).square().sum()).clamp(min=0).sqrt())
    usage = (scores / 0.1).softmax(-1).mean(0)
    cosines = first @ second.T / 0.1
    return {
        "mi_infonce_nats": float(infonce_nats(cosines)),
        "mi_shuffled_nats": max(0.0, float(infonce_nats(_strangers(cosines)))),
        "feature_spread": spread,
        "prototypes_used": float((-(usage * usage.log()).sum()).exp()),
        "collapsed": float(spread < COLLAPSED),
    }
