"""The knowledge base: 144 entities with six facts each, long-tailed popularity, and wrong beliefs.

Errors are *plausible*: each category has a prior over each attribute's values (Gamma weights), from which both facts
and wrong beliefs are drawn.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

from . import lexicon as lx
from .chance import stream

#: Changes whenever a prompt, fact, utility or verdict changes.
WORLD_VERSION = "micro-1"

PRIOR_SHAPE = 0.8  # Gamma shape of a category's value weights: below 1, so that a few values dominate
PRIOR_FLOOR = 0.05  # keeps every value possible
Fame = tuple[float, float]
#: Popularity of the entity of rank r in its category is (r + offset)^-exponent, as (offset, exponent).
#: Popularity in the corpus: a few well-known entities and a tail that is rarely mentioned.
CORPUS_FAME = (6.0, 7.0)
#: Popularity in prompts: flatter, so that about one question in six involves the less popular half.
PROMPT_FAME = (1.0, 2.0)


@dataclass(frozen=True)
class Knowledge:
    """Facts about all entities.

    `facts[entity][attribute]` is the value; `ranking[category]` its entities from most to least popular;
    `prior[category][attribute]` the weight of each value, in the order of `lexicon.VALUES`.
    """

    facts: Mapping[str, Mapping[str, str]]
    ranking: Mapping[str, tuple[str, ...]]
    prior: Mapping[str, Mapping[str, tuple[float, ...]]]
    _found: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def value(self, entity: str, attribute: str) -> str:
        """The entity's value; for attribute "kind", its category."""
        return lx.CATEGORY_OF[entity] if attribute == "kind" else self.facts[entity][attribute]

    def holds(self, entity: str, value: str) -> bool:
        """Whether the entity has the value."""
        return self.value(entity, lx.ATTRIBUTE_OF[value]) == value

    def matches(self, category: str, values: tuple[str, ...]) -> tuple[str, ...]:
        """Entities of the category with all the values, most popular first."""
        if (category, values) not in self._found:
            fit = (e for e in self.ranking[category] if all(self.holds(e, v) for v in values))
            self._found[category, values] = tuple(fit)
        return self._found[category, values]

    def plausible(self, rng: random.Random, category: str, attribute: str, but: str | None = None) -> str:
        """A random value other than `but`, drawn from the category's prior."""
        values = lx.VALUES[attribute]
        weights = [
            0.0 if v == but else w for v, w in zip(values, self.prior[category][attribute], strict=True)
        ]
        return rng.choices(values, weights)[0]

    def popular(self, rng: random.Random, category: str, fame: Fame) -> str:
        """An entity of the category, drawn with weight (rank + offset)^-exponent."""
        names = self.ranking[category]
        return rng.choices(names, cum_weights=_cumulative(len(names), fame))[0]

    def by_fame(self, rng: random.Random, entities: Iterable[str], fame: Fame) -> list[str]:
        """The entities in random order, drawn without replacement with the weights of `popular`."""
        weight = {e: _weight(self.ranking[lx.CATEGORY_OF[e]].index(e), fame) for e in entities}
        return sorted(weight, key=lambda e: math.log(1.0 - rng.random()) / weight[e], reverse=True)


def _weight(rank: int, fame: Fame) -> float:
    offset, exponent = fame
    return ((rank + 1 + offset) / (1 + offset)) ** -exponent


@lru_cache(maxsize=8)
def _cumulative(count: int, fame: Fame) -> tuple[float, ...]:
    return tuple(accumulate(_weight(rank, fame) for rank in range(count)))


@lru_cache(maxsize=1)
def truth() -> Knowledge:
    """The true facts of the micro world."""
    rng = stream(WORLD_VERSION, "knowledge")
    prior = {
        category: {
            attribute: tuple(rng.gammavariate(PRIOR_SHAPE, 1.0) + PRIOR_FLOOR for _ in values)
            for attribute, values in lx.VALUES.items()
        }
        for category in lx.CATEGORIES
    }
    ranking, facts = {}, {}
    for category, names in lx.NAMES.items():
        order = list(names)
        rng.shuffle(order)
        ranking[category] = tuple(order)
        for entity in order:
            facts[entity] = {a: rng.choices(lx.VALUES[a], prior[category][a])[0] for a in lx.ATTRIBUTES}
    return Knowledge(facts, ranking, prior)


@lru_cache(maxsize=64)
def beliefs(who: str, error_rate: float) -> Knowledge:
    """The beliefs of `who`: a fraction `error_rate` of the facts is replaced by plausible values."""
    world, rng = truth(), stream(WORLD_VERSION, "beliefs", who)
    facts = {}
    for entity, own in world.facts.items():
        category = lx.CATEGORY_OF[entity]
        facts[entity] = {
            a: world.plausible(rng, category, a, but=v) if rng.random() < error_rate else v
            for a, v in own.items()
        }
    return Knowledge(facts, world.ranking, world.prior)
