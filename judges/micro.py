"""Judges of the micro world: its 13 simulated annotators, a second population, and the gold utility."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import DataError, Pair, UnknownName, Verdict, content_id, merge_input, nearest

MODES = {"one": "one annotator, drawn for every pair", "all": "mean of all verdicts"}


class MicroPool:
    """A small version of AlpacaFarm's pool: 13 annotators, no label noise (Dubois et al. 2023, section 3.1).

    "micro_pool:one" draws one annotator for every (pair, seed) by content and gives 0 or 1, as for training labels;
    "micro_pool:all" gives the fraction of the 13 that prefer the first answer. The draw does not depend on the order
    of the two answers, so swapping them never changes the annotator.
    """

    name = "micro_pool"
    version = "1"
    population = "crowd"

    def __init__(self, argument: str = "") -> None:
        self.mode = argument or "all"
        if self.mode not in MODES:
            raise UnknownName(f'judge "{self.name}:{argument}": no such mode; {nearest(argument, MODES)}')

    def manifest(self) -> Mapping[str, Any]:
        """Population, world and mode."""
        from rlp_bench.micro import WORLD_VERSION

        return {
            "name": self.name,
            "version": self.version,
            "mode": self.mode,
            "population": self.population,
            "world": WORLD_VERSION,
            "annotators": [person.name for person in self._people()],
            "noise": 0.0,
            "scale": "binary" if self.mode == "one" else "soft",
        }

    def _people(self) -> list[Any]:
        from rlp_bench.micro import load_world

        return list(load_world().annotators(self.population))

    def check(self, questions: Sequence[tuple[str, str]], *, reach: bool) -> str:
        """Checks that every (instruction, input) is of the micro world."""
        return _check_questions(self.name, questions)

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair: the fraction of annotators that prefer the first answer.

        `raw` has the annotator's name ("one"), or the votes for the first answer ("all").
        """
        people = self._people()
        return [
            self._one(people, pair, seed) if self.mode == "one" else self._all(people, pair, seed)
            for pair in pairs
        ]

    def _one(self, people: list[Any], pair: Pair, seed: int) -> Verdict:
        draw = content_id(
            f"annotator {seed}", pair.instruction, pair.input, *sorted((pair.first, pair.second))
        )
        person = people[int(draw, 16) % len(people)]
        question = _question(self.name, pair.instruction, pair.input)
        first = person.verdict(question, pair.first, pair.second, seed=seed)
        return Verdict(float(first), raw=person.name)

    def _all(self, people: list[Any], pair: Pair, seed: int) -> Verdict:
        question = _question(self.name, pair.instruction, pair.input)
        votes = sum(person.verdict(question, pair.first, pair.second, seed=seed) for person in people)
        return Verdict(votes / len(people), raw=f"{votes}/{len(people)}")


class MicroSecondPopulation(MicroPool):
    """Another 13 annotators with other biases: the (simulated) "human" column of the micro world."""

    name = "micro_second"
    population = "second"


class MicroGold:
    """The gold utility, hidden from annotators: 1, 0, or .5 if both answers have the same utility."""

    name = "micro_gold"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        if argument:
            raise UnknownName(f'judge "micro_gold:{argument}": takes no argument')

    def manifest(self) -> Mapping[str, Any]:
        """Name, version and world; there are no options."""
        from rlp_bench.micro import WORLD_VERSION

        return {
            "name": self.name,
            "version": self.version,
            "world": WORLD_VERSION,
            "noise": 0.0,
            "scale": "binary",
        }

    def check(self, questions: Sequence[tuple[str, str]], *, reach: bool) -> str:
        """Checks that every (instruction, input) is of the micro world."""
        return _check_questions(self.name, questions)

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair by comparing utilities; `raw` has both."""
        from rlp_bench.micro import load_world

        world = load_world()
        verdicts = []
        for pair in pairs:
            question = _question(self.name, pair.instruction, pair.input)
            first, second = world.utility(question, pair.first), world.utility(question, pair.second)
            preference = 0.5 if abs(first - second) < 1e-9 else float(first > second)
            verdicts.append(Verdict(preference, raw=f"{first:g} {second:g}"))
        return verdicts


def _check_questions(judge: str, questions: Sequence[tuple[str, str]]) -> str:
    for instruction, given in questions:
        _question(judge, instruction, given)
    return f"{len(questions)} questions of the micro world"


def _question(judge: str, instruction: str, given: str) -> str:
    """The instruction with its input.

    Raises:
        DataError: it is not of the micro world, so that these annotators cannot read it.
    """
    from rlp_bench.micro import load_world

    question = merge_input(instruction, given)
    if load_world().skill(question) is None:
        raise DataError(
            f'judge "{judge}": {json.dumps(question[:60])} is not an instruction of the micro world, and it can judge '
            "no others; give another judge, e.g. --judge chat:MODEL"
        )
    return question
