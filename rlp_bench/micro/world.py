"""Public interface of the micro world: instructions, answers, utilities and annotators, all functions of seeds."""

from __future__ import annotations

from functools import lru_cache

from . import annotators, prompts, reading, suites, tasks, utility, writing
from .annotators import Annotator
from .grammar import Claim
from .knowledge import WORLD_VERSION
from .suites import EvalItem, LabeledPair, Question


class World:
    """The micro world. Everything is computed on first use and cached."""

    version: str = WORLD_VERSION

    def prompts(self, split: str, n: int | None = None) -> list[str]:
        """The first n instructions of "sft", "preferences", "unlabeled" or "dev" (None: the default number)."""
        return prompts.prompts(split, n)

    def demonstrations(self, n: int | None = None) -> list[tuple[str, str]]:
        """(instruction, response) by the expert, for the first n instructions of the split "sft"."""
        return [(text, writing.expert(text, "demonstration")) for text in self.prompts("sft", n)]

    def reference(self, instruction: str) -> str:
        """The expert's answer to an instruction, as in the suites' references."""
        return writing.expert(instruction, "reference")

    def alpacafarm(self) -> list[EvalItem]:
        """The AlpacaFarm-like items: 805 in five subsets."""
        return list(suites.alpacafarm())

    def vicuna(self) -> list[EvalItem]:
        """The 80 of `alpacafarm()` whose subset is "vicuna": 8 categories of 10."""
        return [item for item in suites.alpacafarm() if item.subset == "vicuna"]

    def llmbar(self) -> list[EvalItem]:
        """The LLMBar-like items: 100 natural instructions with objective answers."""
        return list(suites.llmbar())

    def llmbar_pairs(self) -> list[LabeledPair]:
        """300 pairs with an objective winner: 100 natural, 50 of each of four adversarial kinds."""
        return list(suites.llmbar_pairs())

    def mmlu(self) -> list[Question]:
        """The MMLU-like questions: 480 in 48 subjects."""
        return list(suites.mmlu())

    def utility(self, instruction: str, response: str, *, finished: bool = True) -> float:
        """Gold utility; a response without EOS (`finished` False) loses 1."""
        return utility.utility(instruction, response, finished=finished)

    def skill(self, instruction: str) -> str | None:
        """The skill that an instruction asks for, one of `tasks.SKILLS`; None if it is not of the micro world."""
        task = tasks.understand(instruction)
        return task.skill if task else None

    def claims(self, instruction: str, response: str) -> frozenset[Claim] | None:
        """The claims of a response, without politeness; None: unreadable, so equivalent to no other response."""
        return reading.claims(instruction, response)

    def annotators(self, population: str = "crowd") -> list[Annotator]:
        """The 13 annotators of "crowd", or of "second", a differently biased population (not human)."""
        return list(annotators.population(population))


@lru_cache(maxsize=1)
def load_world() -> World:
    """The micro world (cached)."""
    return World()
