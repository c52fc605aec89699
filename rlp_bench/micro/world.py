"""The world as the rest of the benchmark sees it: text in, text and numbers out, all a function of seeds."""

from __future__ import annotations

from functools import lru_cache

from rlp_bench.micro import annotators, prompts, reading, suites, tasks, utility, writing
from rlp_bench.micro.annotators import Annotator
from rlp_bench.micro.grammar import Claim
from rlp_bench.micro.knowledge import WORLD_VERSION
from rlp_bench.micro.suites import EvalItem, LabelledPair, Question


class World:
    """The embedded world. Everything is computed when first asked for and remembered."""

    version: str = WORLD_VERSION

    def prompts(self, split: str, n: int | None = None) -> list[str]:
        """The first n instructions of "sft", "preferences", "unlabeled" or "dev" (None: the usual number)."""
        return prompts.prompts(split, n)

    def demonstrations(self, n: int | None = None) -> list[tuple[str, str]]:
        """(instruction, response) by the expert, for the first n instructions of the split "sft"."""
        return [(text, writing.expert(text, "demonstration")) for text in self.prompts("sft", n)]

    def reference(self, instruction: str) -> str:
        """The expert's answer to any instruction, as in the suites' references."""
        return writing.expert(instruction, "reference")

    def alpacafarm(self) -> list[EvalItem]:
        """805 items in five subsets."""
        return list(suites.alpacafarm())

    def vicuna(self) -> list[EvalItem]:
        """The 80 of `alpacafarm()` whose subset is "vicuna": 8 categories of 10."""
        return [item for item in suites.alpacafarm() if item.subset == "vicuna"]

    def llmbar(self) -> list[EvalItem]:
        """100 natural instructions with objective answers."""
        return list(suites.llmbar())

    def llmbar_pairs(self) -> list[LabelledPair]:
        """300 pairs with an objective winner: 100 natural, 50 of each of four adversarial kinds."""
        return list(suites.llmbar_pairs())

    def mmlu(self) -> list[Question]:
        """480 questions in 48 subjects."""
        return list(suites.mmlu())

    def utility(self, instruction: str, response: str, *, finished: bool = True) -> float:
        """Gold utility; `finished` False (the model did not end the answer) costs 1."""
        return utility.utility(instruction, response, finished=finished)

    def skill(self, instruction: str) -> str | None:
        """What the instruction asks for, one of `tasks.SKILLS`; None where it is not of this world."""
        task = tasks.understand(instruction)
        return task.skill if task else None

    def claims(self, instruction: str, response: str) -> frozenset[Claim] | None:
        """What the response claims, politeness ignored; None: unreadable, means the same as nothing else."""
        return reading.claims(instruction, response)

    def annotators(self, population: str = "crowd") -> list[Annotator]:
        """The 13 annotators of "crowd", or of "second", a differently biased population (not human)."""
        return list(annotators.population(population))


@lru_cache(maxsize=1)
def load_world() -> World:
    """The world, always the same one."""
    return World()
