"""Policy folders without weights: a file that says how to answer with other folders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError, Decoding, Engine, Sample


@dataclass(frozen=True)
class BestOfN:
    """A policy that draws n responses and gives the one its reward model likes best, or the longest one."""

    policy: Path
    reward: Path | None
    """None: the longest."""
    n: int
    temperature: float
    top_p: float


@dataclass(frozen=True)
class Constant:
    """A policy that gives one answer to everything."""

    policy: Path
    """Answers multiple-choice questions, and gives the tokenizer."""
    text: str


def read_indirect(folder: Path) -> BestOfN | Constant | None:
    """What the folder's `best_of_n.json` or `constant.json` says, paths made absolute; None if it has neither.

    Raises:
        DataError: the file is broken.
    """
    for name, read in (("best_of_n.json", _best_of_n), ("constant.json", _constant)):
        file = folder / name
        if file.exists():
            try:
                return read(folder, json.loads(file.read_text(encoding="utf-8")))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{file}: broken ({type(error).__name__}: {error}); expected what the stage of that name writes"
                ) from None
    return None


def sample_best(
    engine: Engine, best: BestOfN, prompts: Sequence[str], decoding: Decoding, n: int, seed: int
) -> list[list[Sample]]:
    """The n winners per rendered prompt, each of `best.n` responses that `engine` draws and scores; ties: the first."""
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
