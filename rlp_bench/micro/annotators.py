"""Simulated annotators: gold utility with missed errors, biases for length, politeness and position, and noise.

    s = w · U_noticed + a · tokens / 10 + m · fillers + b · bullets
    P(first preferred) = σ((s₁ − s₂ + position) / τ)

A wrong claim that an annotator does not notice counts as correct. Whether it is noticed is pseudo-random and depends
only on (annotator, instruction, claim, seed), so that verdicts are reproducible. After AlpacaFarm's p_sim (Dubois et
al. 2023, arXiv 2305.14387, section 3), with 13 annotators that differ from each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from .chance import stream, uniform
from .knowledge import WORLD_VERSION
from .utility import UNFINISHED_COST, account, ceiling

FILLERS_ENJOYED = 3  # further polite sentences add nothing


@dataclass(frozen=True)
class Annotator:
    """One simulated annotator; the fields are the letters of the module's equations.

    Attributes:
        weight: w, of the noticed utility.
        attention: probability to notice a wrong claim.
        length: a, per ten tokens.
        manners: m, per polite sentence.
        bullets: b, if the answer has bullets.
        position: added for the answer shown first.
        noise: τ, the scale of the logistic choice.
    """

    name: str
    weight: float = 1.0
    attention: float = 1.0
    length: float = 0.0
    manners: float = 0.0
    bullets: float = 0.0
    position: float = 0.0
    noise: float = 0.5

    def score(self, instruction: str, response: str, seed: int = 0, finished: bool = True) -> float:
        """The annotator's score s of a response, in units of utility."""
        answer = account(instruction, response)
        seen = answer.utility(lambda claim: uniform(self.name, seed, instruction, *claim) < self.attention)
        return (
            self.weight * (seen - (0.0 if finished else UNFINISHED_COST))
            + self.length * answer.tokens / 10
            + self.manners * min(answer.fillers, FILLERS_ENJOYED)
            + self.bullets * (answer.bullets > 0)
        )

    def preference(self, instruction: str, first: str, second: str, seed: int = 0) -> float:
        """P(first preferred), in (0, 1), for any texts."""
        gap = self.score(instruction, first, seed) - self.score(instruction, second, seed) + self.position
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, gap / self.noise))))

    def verdict(self, instruction: str, first: str, second: str, seed: int = 0, flip: float = 0.0) -> bool:
        """Whether the first is preferred: sampled from `preference`, then flipped with probability `flip`.

        Deterministic in all arguments. AlpacaFarm flips 25 % of its training labels and none in evaluation.
        """
        chosen = uniform(self.name, seed, instruction, first, second, "choice") < self.preference(
            instruction, first, second, seed
        )
        return chosen != (uniform(self.name, seed, instruction, first, second, "flip") < flip)

    def rating(self, instruction: str, response: str, seed: int = 0) -> int:
        """Rating 0 (poor) to 3 (excellent), from the score with logistic noise as a fraction of the maximum utility."""
        u = uniform(self.name, seed, instruction, response, "rating")
        noise = self.noise * math.log((u + 1e-9) / (1 - u + 1e-9))
        share = (self.score(instruction, response, seed) + noise) / ceiling(instruction)
        return sum(share > bound for bound in RATING_BOUNDS)


#: Fractions of the maximum utility above which an answer is weak, good, excellent.
RATING_BOUNDS = (-0.1, 0.5, 0.95)

Ranges = dict[str, tuple[float, float]]
_CROWD: Ranges = {
    "weight": (0.7, 1.3),
    "attention": (0.5, 0.95),
    "noise": (0.2, 0.6),
    "length": (0.5, 0.3),
    "manners": (0.3, 0.3),
    "bullets": (0.1, 0.3),
    "position": (0.0, 0.3),
}
_SECOND: Ranges = {
    "weight": (0.8, 1.4),
    "attention": (0.65, 0.98),
    "noise": (0.3, 0.8),
    "length": (-0.1, 0.2),
    "manners": (0.0, 0.2),
    "bullets": (0.3, 0.3),
    "position": (0.1, 0.3),
}
#: population -> (size, ranges): uniform (low, high) for weight, attention and noise; normal (mean, sd) for the others.
#: "crowd" labels and evaluates; "second" is more attentive, prefers short answers, bullets and the first position;
#: "readers" rate pre-training text: drawn like the crowd, but other annotators.
POPULATIONS: dict[str, tuple[int, Ranges]] = {
    "crowd": (13, _CROWD),
    "second": (13, _SECOND),
    "readers": (40, _CROWD),
}


@lru_cache(maxsize=8)
def population(name: str = "crowd") -> tuple[Annotator, ...]:
    """The annotators of a population.

    Raises:
        ValueError: the population is not one of POPULATIONS.
    """
    if name not in POPULATIONS:
        raise ValueError(f"annotators: '{name}'; expected one of {', '.join(map(repr, POPULATIONS))}")
    size, ranges = POPULATIONS[name]
    people = []
    for i in range(size):
        rng = stream(WORLD_VERSION, "annotator", name, i)
        traits = {k: rng.uniform(*ranges[k]) for k in ("weight", "attention", "noise")}
        traits |= {k: rng.gauss(*ranges[k]) for k in ("length", "manners", "bullets", "position")}
        people.append(Annotator(f"{name}-{i + 1}", **traits))
    return tuple(people)
