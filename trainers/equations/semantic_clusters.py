"""Clusters of semantically equivalent responses, by bidirectional entailment."""

from collections.abc import Callable, Sequence
from typing import Literal

Relation = Literal["entails", "neutral", "contradicts"]
Variant = Literal["strict", "lenient", "no_contradiction"]
Relate = Callable[[Sequence[tuple[int, int]]], Sequence[Relation]]
"""Returns the relation of premise i to hypothesis j for every given (i, j)."""


def same_meaning(forth: Relation, back: Relation, variant: Variant = "strict") -> bool:
    """Whether two responses are equivalent, from the relation in each direction.

    strict: each entails the other. lenient: no contradiction, and not both neutral. no_contradiction: no contradiction.
    """
    if variant == "strict":
        return forth == back == "entails"
    if "contradicts" in (forth, back):
        return False
    return variant == "no_contradiction" or (forth, back) != ("neutral", "neutral")


def semantic_clusters(n: int, relate: Relate, variant: Variant = "strict") -> list[int]:
    """Cluster number of each of n responses, numbered by first appearance.

    Each response, in order, joins the first cluster whose *first member* is equivalent, or else starts a new cluster.
    Greedy, so the order matters where equivalence is not transitive.

    Args:
        n: number of responses.
        relate: relations by index; called once per response, with both directions to the first members of all
            clusters so far.

    Source: Kuhn et al. 2023 (arXiv:2302.09664), algorithm 1 (the paper's text; `strict`). Their code merges unless a
    contradiction is found (`no_contradiction`); `lenient` is jlko/semantic_uncertainty's default.
    """
    clusters: list[int] = []
    first_members: list[int] = []
    for response in range(n):
        asked = [pair for first in first_members for pair in ((first, response), (response, first))]
        told = relate(asked) if asked else []
        for cluster in range(len(first_members)):
            if same_meaning(told[2 * cluster], told[2 * cluster + 1], variant):
                clusters.append(cluster)
                break
        else:
            clusters.append(len(first_members))
            first_members.append(response)
    return clusters


def reassigning_clusters(n: int, relate: Relate, variant: Variant = "strict") -> list[int]:
    """Cluster numbers by jlko/semantic_uncertainty's inner loop, for comparison with its published results.

    Each response without a cluster starts one and takes in *every* later equivalent response, even one that is
    already in an earlier cluster: with p ≡ x, q ≡ x, p ≢ q it gives 0, 1, 1 where `semantic_clusters` gives 0, 1, 0.

    Source: Farquhar et al. 2024, code `semantic_entropy.get_semantic_ids`.
    """
    clusters = [-1] * n
    opened = 0
    for response in range(n):
        if clusters[response] != -1:
            continue
        clusters[response] = opened
        asked = [p for later in range(response + 1, n) for p in ((response, later), (later, response))]
        told = relate(asked) if asked else []
        for place, later in enumerate(range(response + 1, n)):
            if same_meaning(told[2 * place], told[2 * place + 1], variant):
                clusters[later] = opened
        opened += 1
    return clusters
