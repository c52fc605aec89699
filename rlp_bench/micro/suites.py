"""The evaluation items of the micro world, modeled on AlpacaFarm, Vicuna, LLMBar (items and pairs) and MMLU."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from . import lexicon as lx
from .chance import stream
from .knowledge import WORLD_VERSION, beliefs, truth
from .prompts import ask
from .tasks import OBJECTIVE, SKILLS, Task, understand
from .utility import utility
from .writing import Writer, expert


@dataclass(frozen=True)
class EvalItem:
    """An instruction to answer; `category` is its skill, `reference` the expert's answer."""

    instruction: str
    subset: str
    category: str
    reference: str


@dataclass(frozen=True)
class LabeledPair:
    """Two outputs of which number `label` (1 or 2) is objectively better."""

    instruction: str
    output_1: str
    output_2: str
    label: int
    subset: str


@dataclass(frozen=True)
class Question:
    """A stem with four one-word options; `answer` is the index of the correct one."""

    stem: str
    options: tuple[str, str, str, str]
    answer: int
    subject: str


#: subset -> (number of items, weight of each skill in the order of SKILLS, probability of an opening).
ALPACAFARM: dict[str, tuple[int, tuple[int, ...], float]] = {
    "selfinstruct": (252, (22, 18, 12, 8, 8, 8, 12, 12), 0.1),
    "oasst": (188, (12, 8, 12, 18, 18, 16, 8, 8), 0.7),
    "helpful_base": (129, (8, 8, 14, 26, 18, 10, 10, 6), 0.9),
    "vicuna": (80, (1, 1, 1, 1, 1, 1, 1, 1), 0.2),
    "koala": (156, (16, 14, 8, 12, 14, 14, 12, 10), 0.5),
}
VICUNA_PER_CATEGORY = 10
LLMBAR_ITEMS = 100
#: kind of pair -> number; the last four are adversarial: the worse answer has features that annotators prefer.
LLMBAR_PAIRS = {"natural": 100, "neighbor": 50, "inflated": 50, "hallucination": 50, "manual": 50}
PAIR_MARGIN = 1.0  # minimum difference of gold utility in a pair
QUESTIONS_PER_SUBJECT = 10


@lru_cache(maxsize=1)
def alpacafarm() -> tuple[EvalItem, ...]:
    """The 805 items, ordered by subset."""
    rng, items = stream(WORLD_VERSION, "alpacafarm"), []
    seen: set[str] = set()
    for subset, (count, weights, opening_rate) in ALPACAFARM.items():
        mixture = dict(zip(SKILLS, weights, strict=True))
        for i in range(count):
            only = {SKILLS[i // VICUNA_PER_CATEGORY]: 1} if subset == "vicuna" else mixture
            text, skill = ask("eval", rng, only, opening_rate=opening_rate, seen=seen)
            items.append(EvalItem(text, subset, skill, expert(text, "reference")))
    return tuple(items)


@lru_cache(maxsize=1)
def llmbar() -> tuple[EvalItem, ...]:
    """100 natural instructions, of the skills with objective answers."""
    rng = stream(WORLD_VERSION, "llmbar")
    seen: set[str] = set()
    asked = [ask("llmbar", rng, dict.fromkeys(OBJECTIVE, 1), seen=seen) for _ in range(LLMBAR_ITEMS)]
    return tuple(EvalItem(text, "natural", skill, expert(text, "reference")) for text, skill in asked)


@lru_cache(maxsize=1)
def llmbar_pairs() -> tuple[LabeledPair, ...]:
    """300 pairs with an objective winner, which is first in half of each kind."""
    rng, pairs = stream(WORLD_VERSION, "llmbar pairs"), []
    seen: set[str] = set()
    for subset, count in LLMBAR_PAIRS.items():
        labels = [1, 2] * (count // 2)
        rng.shuffle(labels)
        for label in labels:
            text, better, worse = _pair(subset, rng, seen)
            outputs = (better, worse) if label == 1 else (worse, better)
            pairs.append(LabeledPair(text, *outputs, label, subset))
    return tuple(pairs)


def _pair(subset: str, rng: random.Random, seen: set[str]) -> tuple[str, str, str]:
    """(instruction, better output, worse output), resampled until the margin is reached."""
    while True:
        text, _ = ask("llmbar_pairs", rng, dict.fromkeys(OBJECTIVE, 1), seen=seen)
        better = Writer(truth(), thoroughness=rng.random(), polite_rate=0.25).answer(text, rng)
        kind = rng.choice(("neighbor", "hallucination")) if subset == "manual" else subset
        worse = _WORSE[kind](text, rng)
        if subset == "manual":
            worse = _polite(worse, rng)
            better = Writer(truth(), thoroughness=0.0).answer(text, rng)
        elif subset in ("inflated", "hallucination"):
            better = Writer(truth(), thoroughness=0.0).answer(text, rng)
        if utility(text, better) >= utility(text, worse) + PAIR_MARGIN:
            return text, better, worse


def _wrong(text: str, rng: random.Random) -> str:
    """An answer by a writer with mostly wrong beliefs."""
    return Writer(beliefs("confused", 0.7), 0.3, thoroughness=rng.random()).answer(text, rng)


def _polite(answer: str, rng: random.Random) -> str:
    return f"{rng.choice(lx.FILLERS[:3])} {lx.FILLERS[3]} {answer} {rng.choice(lx.FILLERS[4:])}"


def _neighbor(text: str, rng: random.Random) -> str:
    """A good answer to a similar but different instruction."""
    task = understand(text)
    assert task is not None  # `ask` gives instructions of this world only
    return Writer(truth(), thoroughness=1.0).answer(_similar(text, task, rng), rng)


def _similar(text: str, task: Task, rng: random.Random) -> str:
    """The instruction with one entity replaced by another of its category, or one constraint replaced."""
    if task.entities:
        old = rng.choice(task.entities)
        others = [e for e in lx.NAMES[lx.CATEGORY_OF[old]] if e not in task.entities]
        return text.replace(f"the {old}", f"the {rng.choice(others)}")
    old = task.values[0]
    others = [v for v in lx.VALUES[lx.ATTRIBUTE_OF[old]] if v != old and truth().matches(task.category, (v,))]
    return text.replace(lx.phrase(old), lx.phrase(rng.choice(others or [old])))


def _hallucination(text: str, rng: random.Random) -> str:
    """A wrong answer with three false details added."""
    answer = _wrong(text, rng)
    named = [w for w in answer.split() if w in lx.CATEGORY_OF] or [
        w for w in text.split() if w in lx.CATEGORY_OF
    ]
    entity = named[0]
    attributes = rng.sample(lx.ATTRIBUTES, 3)
    category = lx.CATEGORY_OF[entity]
    details = [
        lx.phrase(truth().plausible(rng, category, a, but=truth().value(entity, a))) for a in attributes
    ]
    return f"{answer} the {entity} is {details[0]} , {details[1]} and {details[2]} ."


_WORSE: dict[str, Callable[[str, random.Random], str]] = {
    "natural": _wrong,
    "neighbor": _neighbor,
    "inflated": lambda text, rng: _polite(_wrong(text, rng), rng),
    "hallucination": _hallucination,
}


@lru_cache(maxsize=1)
def mmlu() -> tuple[Question, ...]:
    """480 questions, ten in each of 48 subjects (category and attribute), with uniformly drawn entities."""
    world, rng, questions = truth(), stream(WORLD_VERSION, "mmlu"), []
    for category in lx.CATEGORIES:
        for attribute in lx.ATTRIBUTES:
            for entity in rng.sample(lx.NAMES[category], QUESTIONS_PER_SUBJECT):
                right = world.value(entity, attribute)
                options = [right]
                while len(options) < 4:
                    other = world.plausible(rng, category, attribute, but=right)
                    if other not in options:
                        options.append(other)
                rng.shuffle(options)
                stem = f"the {attribute} of the {entity} is"
                a, b, c, d = options
                questions.append(
                    Question(stem, (a, b, c, d), options.index(right), f"{category} {attribute}")
                )
    return tuple(questions)
