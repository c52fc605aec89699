"""Generates user instructions in disjoint splits.

Each instruction belongs to exactly one split, determined by a hash of its normalized text, so that splits are disjoint
for any number and order of requests.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from zlib import crc32

from . import lexicon as lx
from .chance import stream
from .knowledge import PROMPT_FAME, WORLD_VERSION, Fame, truth
from .tasks import CLOSINGS, OPENINGS, Task, render, wordings

#: Fraction of all instruction texts in each split.
SHARES = {
    "pretraining": 0.20,
    "sft": 0.14,
    "preferences": 0.22,
    "unlabeled": 0.28,
    "dev": 0.04,
    "eval": 0.06,
    "llmbar": 0.03,
    "llmbar_pairs": 0.03,
}
#: Weights of the skills in training splits.
MIXTURE = {
    "qa": 18,
    "verify": 14,
    "list": 10,
    "recommend": 14,
    "describe": 10,
    "compare": 10,
    "contrast": 12,
    "combine": 12,
}
#: Probabilities that a request has an opening and a closing.
OPENING_RATE, CLOSING_RATE = 0.5, 0.25


def normalize(instruction: str) -> str:
    """The normalized text, by which prompts are compared: lower case, single spaces."""
    return " ".join(instruction.lower().split())


def split_of(instruction: str) -> str:
    """The split of an instruction text."""
    at = crc32(normalize(instruction).encode()) / 2**32
    for name, share in SHARES.items():
        at -= share
        if at < 0:
            return name
    return "llmbar_pairs"


def sample_task(skill: str, rng: random.Random, fame: Fame = PROMPT_FAME) -> Task:
    """A random task of the skill, about entities drawn by popularity."""
    world = truth()
    category = rng.choice(lx.CATEGORIES)
    if skill in ("list", "recommend"):
        return _search(skill, category, rng, fame)
    entity = world.popular(rng, category, fame)
    if skill == "qa":
        return Task(skill, (entity,), rng.choice(lx.ATTRIBUTES))
    if skill == "verify":
        attribute = rng.choice(lx.ATTRIBUTES)
        value = world.value(entity, attribute)
        if rng.random() < 0.5:
            value = world.plausible(rng, category, attribute, but=value)
        return Task(skill, (entity,), values=(value,))
    if skill == "describe":
        return Task(skill, (entity,))
    if skill == "combine":
        attributes = rng.sample(lx.ATTRIBUTES, rng.choice((2, 2, 3)))
        return Task(skill, (entity,), values=tuple(rng.choice(lx.VALUES[a]) for a in attributes))
    comparative = rng.choice(tuple(lx.COMPARATIVES)) if skill == "contrast" else ""
    while True:
        other = world.popular(rng, category, fame)
        if other != entity and (not comparative or _differ(entity, other, comparative)):
            return Task(skill, (entity, other), comparative=comparative)
        entity = world.popular(rng, category, fame) if rng.random() < 0.2 else entity


def _differ(one: str, other: str, comparative: str) -> bool:
    attribute = lx.COMPARATIVES[comparative][0]
    return truth().value(one, attribute) != truth().value(other, attribute)


def _search(skill: str, category: str, rng: random.Random, fame: Fame) -> Task:
    """A random list or recommendation task that has enough matching entities."""
    while True:
        count = rng.choice((2, 3, 4)) if skill == "list" else 0
        attributes = rng.sample(lx.ATTRIBUTES, rng.choice((1, 2)) if skill == "recommend" else 1)
        known = truth().popular(rng, category, fame)
        values = tuple(truth().value(known, a) for a in attributes)
        if len(truth().matches(category, values)) >= max(count, 1):
            return Task(skill, values=values, category=category, count=count)


def phrase_task(
    task: Task, rng: random.Random, opening_rate: float = OPENING_RATE, closing_rate: float = CLOSING_RATE
) -> str:
    """A random instruction text of the task."""
    opening = rng.choice(OPENINGS) if rng.random() < opening_rate else ""
    closing = rng.choice(CLOSINGS) if rng.random() < closing_rate else ""
    return render(task, rng.choice(wordings(task)), opening, closing)


def ask(
    split: str,
    rng: random.Random,
    mixture: dict[str, int],
    *,
    opening_rate: float = OPENING_RATE,
    seen: set[str] | None = None,
    fame: Fame = PROMPT_FAME,
) -> tuple[str, str]:
    """(instruction, skill): a random instruction of a split, with skills in the proportions of `mixture`.

    Texts in `seen` are skipped; the new text is added to it.
    """
    skill = rng.choices(tuple(mixture), tuple(mixture.values()))[0]
    while True:
        text = phrase_task(sample_task(skill, rng, fame), rng, opening_rate)
        if split_of(text) == split and (seen is None or text not in seen):
            if seen is not None:
                seen.add(text)
            return text, skill


def _generate(split: str) -> Iterator[str]:
    rng = stream(WORLD_VERSION, "prompts", split)
    seen: set[str] = set()
    while True:
        yield ask(split, rng, MIXTURE, seen=seen)[0]


@lru_cache(maxsize=16)
def _made(split: str) -> tuple[list[str], Iterator[str]]:
    return [], _generate(split)


#: The training splits, with their default numbers of texts.
TRAINING_SPLITS = {"sft": 5_000, "preferences": 10_000, "unlabeled": 20_000, "dev": 500}


def prompts(split: str, n: int | None = None) -> list[str]:
    """The first n instruction texts of a training split, all different; None: the default number.

    Raises:
        ValueError: the split is not one of TRAINING_SPLITS.
    """
    if split not in TRAINING_SPLITS:
        raise ValueError(f"split: '{split}'; expected one of {', '.join(map(repr, TRAINING_SPLITS))}")
    n = TRAINING_SPLITS[split] if n is None else n
    made, more = _made(split)
    while len(made) < n:
        made.append(next(more))
    return made[:n]
