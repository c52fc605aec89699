"""Selection of the chosen and the rejected response of a synthetic preference among a policy's own samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Selection:
    """Indices into the responses of one prompt.

    Attributes:
        members: the largest cluster, ascending.
        confidence: its fraction of all responses, in (0, 1].
        chosen: one of its members.
        rejected: a response outside it; None if there is no other cluster.
    """

    members: tuple[int, ...]
    confidence: float
    chosen: int
    rejected: int | None


def select_preference(
    clusters: Sequence[int],
    rewards: Sequence[float],
    draw_rejected: float,
    winner: Literal["highest_reward", "random"] = "highest_reward",
    draw_chosen: float = 0.0,
    loser: Literal["random", "nearest_length"] = "random",
    lengths: Sequence[int] = (),
) -> Selection:
    """The pair of one prompt: y_w from the largest cluster g̃, y_l uniform outside it, confidence |g̃| / |y|.

    Args:
        clusters: cluster number of each of G responses.
        rewards: score of each response by the reward model of the *first* step.
        draw_rejected: uniform number in [0, 1) that selects y_l.
        winner: "highest_reward" in g̃ (the paper), or a "random" member (control for the effect of the reward).
        draw_chosen: uniform number in [0, 1) that selects y_w if the winner is random.
        loser: "random" outside g̃ (the paper), or of "nearest_length" to y_w (control for the effect of length).
        lengths: tokens of each response, for "nearest_length"; `draw_rejected` selects among ties.

    Returns:
        The selection; the caller compares its confidence with γ. Ties: the cluster with the larger mean reward, then
        the one that appears first; within a cluster the first of equal rewards.

    Source: Lang et al. 2024 (arXiv:2403.19279), section 3.2 (RLP-SPG). The paper does not specify ties: ours.
    """
    groups: dict[int, list[int]] = {}
    for response, cluster in enumerate(clusters):
        groups.setdefault(cluster, []).append(response)
    members = max(groups.values(), key=lambda g: (len(g), sum(rewards[i] for i in g) / len(g), -g[0]))
    outside = [i for i in range(len(clusters)) if clusters[i] != clusters[members[0]]]
    if winner == "random":
        chosen = members[int(draw_chosen * len(members))]
    else:
        chosen = max(members, key=lambda i: (rewards[i], -i))
    if loser == "nearest_length" and outside:
        gap = min(abs(lengths[i] - lengths[chosen]) for i in outside)
        outside = [i for i in outside if abs(lengths[i] - lengths[chosen]) == gap]
    return Selection(
        members=tuple(members),
        confidence=len(members) / len(clusters),
        chosen=chosen,
        rejected=outside[int(draw_rejected * len(outside))] if outside else None,
    )
