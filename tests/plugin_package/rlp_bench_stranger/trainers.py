"""Two trainers: one learns by heart, one keeps the shortest of several policies' answers."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context, write_json


@dataclass(frozen=True)
class Parrot:
    """A policy that has learnt the demonstrations by heart, one step after the other."""

    name: ClassVar[str] = "stranger_parrot"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "demonstrations": "demonstrations"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ("prompting", "annotator")

    steps: int = 3
    """Checkpoints to write on the way, a count."""
    suffix: str = ""
    """What every answer ends with."""

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes parrot.json: prompt -> answer."""
        rows = inputs["demonstrations"].rows()
        checkpoint = context.scratch / "step.json"
        done = json.loads(checkpoint.read_text())["done"] if checkpoint.exists() else 0
        for step in range(done, self.steps):
            time.sleep(float(os.environ.get("STRANGER_STEP_SECONDS", "0")))  # so that a test can kill it
            while step and "STRANGER_STUCK" in os.environ:  # with a checkpoint there, until it is killed
                time.sleep(0.1)
            partial = context.scratch / "step.json.partial"
            partial.write_text(json.dumps({"done": step + 1}))
            partial.replace(checkpoint)
            context.progress(step + 1, self.steps, "by heart")
            context.meter.count(tokens_trained=len(rows))
        answers = {
            context.prompting.render(row["instruction"], row["input"]): row["response"] + self.suffix
            for row in rows
        }
        write_json(out / "parrot.json", {"answers": answers, "seed": context.seed})
        return {"answers": float(len(answers)), "saw_annotator": float(context.annotator is not None)}


@dataclass(frozen=True)
class Blend:
    """The shortest answer of several policies."""

    name: ClassVar[str] = "stranger_blend"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"policies": "policy*", "prompts": "prompts?"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ()

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes parrot.json: prompt -> shortest answer."""
        learnt = [
            json.loads((policy.path / "parrot.json").read_text())["answers"] for policy in inputs["policies"]
        ]
        answers = {prompt: min((one[prompt] for one in learnt), key=len) for prompt in learnt[0]}
        write_json(out / "parrot.json", {"answers": answers, "seed": context.seed})
        return {"saw_annotator": float(context.annotator is not None)}
