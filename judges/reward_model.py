"""A reward model as a pairwise judge: "reward_model:FOLDER", a reward artifact or another checkpoint in that format.

For a reward artifact the prompt template is read from its manifest; another checkpoint needs one:
"reward_model:FOLDER,prompt=FILE". A reward model is a fast judge but weak evidence: a policy trained against it, or
against a related one, wins regardless of human preferences.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError, Pair, Prompting, Sample, Verdict, read_text, registry
from rlp_bench.endpoint.options import read_options

OPTIONS: dict[str, type] = {"model": str, "prompt": str, "engine": str, "device": str, "soft": bool}


class RewardModel:
    """Prefers the answer with the higher score; equal scores tie.

    `soft=true` gives the Bradley-Terry probability, sigmoid(r_first - r_second), instead of 1 or 0. Tokenization, EOS
    and the maximum prompt length are the engine's, as in training.
    """

    name = "reward_model"
    version = "1"

    def __init__(self, argument: str = "") -> None:
        options = read_options('judge "reward_model"', argument, OPTIONS)
        if not options.get("model"):
            raise DataError('judge "reward_model": needs a checkpoint: --judge reward_model:FOLDER')
        self.folder = Path(options["model"]).expanduser()
        if not (self.folder / "config.json").is_file():
            raise DataError(
                f'judge "reward_model": "{self.folder}": no config.json; give the folder of a reward model'
            )
        self.prompting = _prompting(self.folder, options.get("prompt"))
        self.engine_name = options.get("engine", "transformers")
        self.engine = registry.load("engine", self.engine_name)(device=options.get("device", "cpu"))
        self.soft = options.get("soft", False)

    def manifest(self) -> Mapping[str, Any]:
        """Hashes of the checkpoint's files, and the template."""
        files = [*self.folder.glob("*.safetensors"), *self.folder.glob("*.json")]
        kept = [path for path in files if path.name not in ("meter.json", "manifest.json", "metrics.json")]
        return {
            "name": self.name,
            "version": self.version,
            "files": {path.name: _sha256(path) for path in sorted(kept)},
            "prompt_sha256": hashlib.sha256(
                self.prompting.render("{instruction}", "{input}").encode()
            ).hexdigest(),
            "engine": self.engine_name,
            "noise": 0.0,
            "scale": "soft" if self.soft else "binary",
        }

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair; `raw` has both scores."""
        prompts = [self.prompting.render(pair.instruction, pair.input) for pair in pairs for _ in (1, 2)]
        answers = [Sample(text, 0, True) for pair in pairs for text in (pair.first, pair.second)]
        scores = self.engine.score(self.folder, prompts, answers)
        return [self._verdict(first, second) for first, second in zip(scores[::2], scores[1::2], strict=True)]

    def _verdict(self, first: float, second: float) -> Verdict:
        raw = f"{first:.6g} {second:.6g}"
        if not math.isfinite(first) or not math.isfinite(second):
            return Verdict(None, "failed: a score is not finite", raw)
        if self.soft:
            return Verdict(0.5 * (1 + math.tanh((first - second) / 2)), raw=raw)
        return Verdict(0.5 if first == second else float(first > second), raw=raw)


def _prompting(folder: Path, template: str | None) -> Prompting:
    """The given template, or the one in the manifest of a reward artifact.

    Raises:
        DataError: the template cannot be read or has no {instruction}, or there is none.
    """
    if template is not None:
        try:
            text = read_text(Path(template).expanduser())
        except DataError as error:
            raise DataError(f'judge "reward_model": prompt {error}') from None
        if "{instruction}" not in text:
            raise DataError(f'judge "reward_model": prompt "{template}": has no {{instruction}}; add it')
        return Prompting(template=text)
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        known = manifest["provenance"]["recipe"]["prompting"]
        return Prompting(**known)
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f'judge "reward_model": "{folder}" has no prompt template in a manifest.json; give '
            '"reward_model:FOLDER,prompt=FILE" with a template that has {instruction}'
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
