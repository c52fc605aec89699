"""Greetings: ten instructions, which it also offers for training."""

from typing import Literal

from rlp_bench.api import Item

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Greetings:
    """Win-rate suite of ten items, and a data source of other ones."""

    name = "stranger_greetings"
    version = "1"
    kind: Literal["win_rate"] = "win_rate"

    def __init__(self, argument: str = "") -> None:
        self.argument = argument

    def items(self) -> list[Item]:
        """Greet person number so and so; the reference is verbose."""
        return [
            Item(f"greet {word}", subset=("odd", "even")[i % 2], reference=f"good day to you, dear {word}")
            for i, word in enumerate(WORDS)
        ]

    def split(self, name: str, n: int | None = None) -> list[dict[str, str]]:
        """Prompts of other people, answered where the split is "sft"."""
        rows = [{"instruction": f"welcome {word}", "input": ""} for word in WORDS]
        if name == "sft":
            rows = [{**row, "response": "hi"} for row in rows]
        return rows[:n]
