"""An engine for policies that are look-up tables."""

import json
from collections.abc import Sequence
from pathlib import Path

from rlp_bench.api import Decoding, Sample


class Lookup:
    """Answers from parrot.json; what is not there is answered by "pardon"."""

    version = "1"

    def __init__(self, device: str, processes: int) -> None:
        self.device, self.processes = device, processes

    def sample(
        self, policy: Path, prompts: Sequence[str], decoding: Decoding, *, n: int = 1, seed: int = 0
    ) -> list[list[Sample]]:
        """n times the same answer to every prompt; the base knows none."""
        table = policy / "parrot.json"
        answers = json.loads(table.read_text())["answers"] if table.exists() else {}
        texts = [answers.get(prompt, "pardon") for prompt in prompts]
        return [[Sample(text, len(text.split()), True)] * n for text in texts]

    def score(self, reward: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """Short is good."""
        return [-float(len(response.text)) for response in responses]

    def logprobs(self, policy: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """One nat a token."""
        return [-float(response.tokens) for response in responses]

    def options(
        self, policy: Path, stems: Sequence[str], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """The shorter the likelier."""
        return [[-float(len(option)) for option in each] for each in options]
