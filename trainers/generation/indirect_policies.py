"""Policy folders without weights: a JSON file that defines the policy in terms of other folders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError, Decoding, Engine, Sample


@dataclass(frozen=True)
class BestOfN:
    """A policy that samples n responses and returns the one with the highest reward, or the longest one."""

    policy: Path
    reward: Path | None
    """Reward model; None selects the longest response."""
    n: int
    temperature: float
    top_p: float


@dataclass(frozen=True)
class Constant:
    """A policy that returns the same response to every prompt."""

    policy: Path
    """Policy that scores multiple-choice questions and provides the tokenizer."""
    text: str


def read_indirect(folder: Path) -> BestOfN | Constant | None:
    """The contents of the folder's `best_of_n.json` or `constant.json` with absolute paths; None if it has neither.

    Raises:
        DataError: the file is invalid.
    """
    for name, read in (("best_of_n.json", _best_of_n), ("constant.json", _constant)):
        file = folder / name
        if file.exists():
            try:
                return read(folder, json.loads(file.read_text(encoding="utf-8")))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{file}: invalid ({type(error).__name__}: {error}); expected a file written by the stage of that "
                    "name; run the stage again"
                ) from None
    return None


def sample_best(
    engine: Engine, best: BestOfN, prompts: Sequence[str], decoding: Decoding, n: int, seed: int
) -> list[list[Sample]]:
    """n best-of-n responses per rendered prompt, each chosen among `best.n` samples of `engine`; ties: the first."""
    own = replace(decoding, temperature=best.temperature, top_p=best.top_p)
    drawn = engine.sample(best.policy, prompts, own, n=best.n * n, seed=seed)
    candidates = [sample for samples in drawn for sample in samples]
    asked = [prompt for prompt in prompts for _ in range(best.n * n)]
    if best.reward:
        scores = engine.score(best.reward, asked, candidates)
    else:
        scores = [float(len(candidate.text)) for candidate in candidates]
    starts = range(0, len(candidates), best.n)
    winners = [max(range(start, start + best.n), key=lambda row: (scores[row], -row)) for start in starts]
    chosen = [candidates[winner] for winner in winners]
    return [chosen[start : start + n] for start in range(0, len(chosen), n)]


def _best_of_n(folder: Path, found: Any) -> BestOfN:
    return BestOfN(
        policy=(folder / found["policy"]).resolve(),
        reward=(folder / found["reward"]).resolve() if found["reward"] is not None else None,
        n=int(found["n"]),
        temperature=float(found["temperature"]),
        top_p=float(found.get("top_p", 1.0)),
    )


def _constant(folder: Path, found: Any) -> Constant:
    return Constant((folder / found["policy"]).resolve(), str(found["text"]))
