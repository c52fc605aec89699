"""Suites and training splits of the micro world (`rlp_bench.micro`)."""

import sys
from collections.abc import Iterable
from typing import Any, Literal

from rlp_bench.api import DataError, Item, LabeledPair, Question, UnknownName, nearest

TRAINING = ("sft", "preferences", "unlabeled", "dev")


def _world(suite: str, argument: str) -> Any:
    if argument:
        raise UnknownName(f'suite "{suite}:{argument}": takes no argument')
    from rlp_bench.micro import load_world

    return load_world()


def _version() -> str:
    from rlp_bench.micro import WORLD_VERSION

    return str(WORLD_VERSION)


class MicroData:
    """Training splits: "sft" with the imperfect expert's responses; the others are prompts with a category (skill)."""

    name = "micro"

    def __init__(self, argument: str = "") -> None:
        self.world = _world(self.name, argument)
        self.version = f"{_version()}/2"

    def available(self, name: str) -> int:
        """Rows that a split can have: as many as are asked for, because they are generated."""
        if name not in TRAINING:
            raise DataError(f'data "micro": has no split "{name}"; {nearest(name, TRAINING)}')
        return sys.maxsize

    def utility(self, instruction: str, response: str, finished: bool = True) -> float:
        """The gold utility of a response, for analysis only; trainers must not use it."""
        return float(self.world.utility(instruction, response, finished=finished))

    def split(self, name: str, n: int | None = None) -> list[dict[str, str]]:
        """The first n rows of a split (all rows if n is None).

        Raises:
            DataError: no such split, or it has fewer than n rows.
        """
        if name not in TRAINING:
            raise DataError(f'data "micro": has no split "{name}"; {nearest(name, TRAINING)}')
        if name == "sft":
            rows = [
                {"instruction": instruction, "input": "", "response": response}
                for instruction, response in self.world.demonstrations(n)
            ]
        else:
            rows = [
                {"instruction": text, "input": "", "category": self.world.skill(text) or ""}
                for text in self.world.prompts(name, n)
            ]
        if n is not None and len(rows) < n:
            raise DataError(
                f'data "micro": split "{name}" has {len(rows)} rows; expected at least {n}; lower the number in [data]'
            )
        return rows


class _WinRate:
    kind: Literal["win_rate"] = "win_rate"
    name: str

    def __init__(self, argument: str = "") -> None:
        self.world = _world(self.name, argument)
        self.version = _version()


def _items(found: Iterable[Any]) -> list[Item]:
    return [Item(i.instruction, "", i.subset, i.category, i.reference) for i in found]


class MicroAlpacaFarm(_WinRate):
    """805 items in AlpacaFarm's five subsets, against the expert."""

    name = "micro_alpacafarm"

    def items(self) -> list[Item]:
        """Items with the expert's answers as references."""
        return _items(self.world.alpacafarm())


class MicroVicuna(_WinRate):
    """The 80 items of the vicuna subset; not independent of `micro_alpacafarm`, which includes them."""

    name = "micro_vicuna"

    def items(self) -> list[Item]:
        """Items with the expert's answers as references."""
        return _items(self.world.vicuna())


class MicroLLMBar(_WinRate):
    """100 instructions with objectively right or wrong answers, against the expert."""

    name = "micro_llmbar"

    def items(self) -> list[Item]:
        """Items with the expert's answers as references."""
        return _items(self.world.llmbar())


class MicroLLMBarPairs:
    """Pairs with an objective winner, natural and adversarial: a test of judges and reward models."""

    name = "micro_llmbar_pairs"
    kind: Literal["pairs"] = "pairs"

    def __init__(self, argument: str = "") -> None:
        self.world = _world(self.name, argument)
        self.version = _version()

    def items(self) -> list[LabeledPair]:
        """Labeled pairs; `subset` is natural or the name of the adversarial set."""
        return [
            LabeledPair(p.instruction, p.output_1, p.output_2, p.label, p.subset)
            for p in self.world.llmbar_pairs()
        ]


class MicroMMLU:
    """Four-way questions on the world's facts, scored by the likelihood of the options."""

    name = "micro_mmlu"
    kind: Literal["options"] = "options"

    def __init__(self, argument: str = "") -> None:
        self.world = _world(self.name, argument)
        self.version = _version()

    def items(self) -> list[Question]:
        """Questions; the stem is plain text, completed without the chat template."""
        return [Question(q.stem, tuple(q.options), q.answer, q.subject) for q in self.world.mmlu()]
