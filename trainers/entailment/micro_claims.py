"""Entailment in the embedded world: a response entails another if its claims include the other's."""

from collections.abc import Sequence
from typing import Literal

from rlp_bench.api import BenchError, content_id
from rlp_bench.micro import load_world

DEFAULT_ERROR_RATE = 0.05


class ClaimEquivalence:
    """Compares the claims that the world's parser finds in both responses, with a given error rate.

    No real entailment model is perfect, so an error-free one would favor methods that cluster by meaning; hence an
    error rate above 0 unless "micro_claims:0" is given. An error replaces "entails" by "neutral" and anything else by
    "entails"; which verdicts are errors depends on the texts alone.
    """

    def __init__(self, argument: str = "") -> None:
        """`argument`: error rate of directed verdicts, in [0, 1]; empty for 0.05."""
        try:
            self.error_rate = float(argument) if argument else DEFAULT_ERROR_RATE
        except ValueError:
            self.error_rate = -1.0
        if not 0.0 <= self.error_rate <= 1.0:
            raise BenchError(
                f'entailment "micro_claims:{argument}": expected an error rate in [0, 1], for instance '
                '"micro_claims:0.05"'
            )
        self._claims = load_world().claims

    def entails(
        self, instruction: str, pairs: Sequence[tuple[str, str]]
    ) -> list[Literal["entails", "neutral", "contradicts"]]:
        """The relation of premise to hypothesis: entails if the hypothesis's claims are a subset of the premise's.

        Otherwise contradicts if both have claims and share none, else neutral. A response that cannot be parsed is
        neutral to all but itself.
        """
        return [self._relation(instruction, premise, hypothesis) for premise, hypothesis in pairs]

    def _relation(
        self, instruction: str, premise: str, hypothesis: str
    ) -> Literal["entails", "neutral", "contradicts"]:
        if premise == hypothesis:
            return "entails"
        truth = relation_of_claims(self._claims(instruction, premise), self._claims(instruction, hypothesis))
        if _draw(instruction, premise, hypothesis) >= self.error_rate:
            return truth
        return "neutral" if truth == "entails" else "entails"


def relation_of_claims(
    premise: frozenset[tuple[str, ...]] | None, hypothesis: frozenset[tuple[str, ...]] | None
) -> Literal["entails", "neutral", "contradicts"]:
    """The relation of two claim sets; None is a response that cannot be parsed."""
    if premise is None or hypothesis is None:
        return "neutral"
    if hypothesis <= premise:
        return "entails"
    return "neutral" if premise & hypothesis or not premise else "contradicts"


def _draw(*texts: str) -> float:
    """A deterministic uniform number in [0, 1) from the texts and their order."""
    return int(content_id("entailment error", *texts), 16) / 16**16
