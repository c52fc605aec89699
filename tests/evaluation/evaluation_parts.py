"""Small real parts for evaluation tests: a judge with known verdicts, an engine that looks answers up."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api.types import Artifact, Decoding, Item, Pair, Prompting, Sample, Verdict
from rlp_bench.evaluation.kinds.kind import Asking
from rlp_bench.store.store import Store, fingerprint


def silent(done: int, total: int, note: str = "") -> None:
    """No progress."""


class Likes:
    """Prefers whichever answer has a word, .5 if both or none have; counts what it was asked."""

    name, version = "likes", "1"

    def __init__(self, word: str = "good", garbage: Sequence[str] = (), failing: Sequence[str] = ()) -> None:
        self.word, self.garbage, self.failing = word, set(garbage), set(failing)
        self.asked: list[Pair] = []

    def manifest(self) -> Mapping[str, Any]:
        return {"name": self.name, "version": self.version, "word": self.word, "scale": "binary"}

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        self.asked += pairs
        return [self._one(pair) for pair in pairs]

    def _one(self, pair: Pair) -> Verdict:
        if pair.instruction in self.garbage:
            return Verdict(None, "unparsed", "I cannot decide, [[A]] or [[B]]?")
        if pair.instruction in self.failing:
            return Verdict(None, "failed: status 500")
        return Verdict(0.5 + 0.5 * ((self.word in pair.first) - (self.word in pair.second)))


class TableEngine:
    """A policy is a folder with answers.json {prompt: [texts]} and logprobs.json {text: nats}; a reward
    model one with scores.json {text: score}.
    """

    def __init__(self) -> None:
        self.sampled = 0

    def sample(
        self, policy: Path, prompts: Sequence[str], decoding: Decoding, *, n: int = 1, seed: int = 0
    ) -> list[list[Sample]]:
        self.sampled += len(prompts) * n
        known = json.loads((policy / "answers.json").read_text())
        texts = [(known.get(prompt) or known["*"])[:n] for prompt in prompts]
        return [[Sample(text, len(text.split()), not text.endswith("...")) for text in row] for row in texts]

    def score(self, reward: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        known = json.loads((reward / "scores.json").read_text())
        return [known[response.text] for response in responses]

    def logprobs(self, policy: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        known = json.loads((policy / "logprobs.json").read_text())
        return [known[response.text] for response in responses]

    def options(
        self, policy: Path, stems: Sequence[str], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        known = json.loads((policy / "logprobs.json").read_text())
        return [[known[option.strip()] for option in row] for row in options]


def artifact(folder: Path, kind: str, **files: Any) -> Artifact:
    """A folder with these JSON files as an artifact of this kind, named by their content."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return Artifact(kind, fingerprint([kind, files]), folder, {"provenance": {}})


def answers(items: Sequence[Item], good: int) -> dict[str, dict[str, Any]]:
    """Outputs of which the first `good` are good."""
    return {
        item.id: {"output": f"good {i}" if i < good else f"bad {i}", "tokens": 2, "finished": True}
        for i, item in enumerate(items)
    }


def asking(
    store: Store,
    engine: Any,
    policy: Artifact | None = None,
    *,
    reward: Artifact | None = None,
    engine_name: str = "table",
    progress: Any = silent,
) -> Asking:
    """What a kind of suite is given."""
    policy = policy or Artifact("policy", "none", store.root)
    return Asking(
        store, engine, engine_name, policy, reward, Prompting(), Decoding(), 0, Likes(), "both", (), progress
    )  # fmt: skip
