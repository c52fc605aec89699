"""The gold utility of an answer, from the texts of instruction and answer and the knowledge base alone.

    U = unit · min(#right, K) − unit · #wrong − ½ · #off-topic − ½ · #repeated
        − Σ ⌈bad tokens / 10⌉ − ½ · misshapen − unfinished

*unit* is 2 for skills answered by one claim (qa, verify, recommend, contrast) and 1 for others; K is the maximum number
of correct claims that count. Politeness and true extra claims on topic count 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from . import lexicon as lx
from .grammar import Claim
from .knowledge import truth
from .reading import read
from .tasks import Task, understand

#: Maximum number of correct claims that count (K).
CAPS = {"qa": 1, "verify": 1, "recommend": 1, "contrast": 1, "describe": 7, "compare": 6}
UNITS = {"qa": 2.0, "verify": 2.0, "recommend": 2.0, "contrast": 2.0}
OFF_TOPIC_COST = REPEAT_COST = SHAPE_COST = 0.5
UNFINISHED_COST = SILENCE_COST = 1.0
BAD_SENTENCE_TOKENS = 10  # an unreadable sentence costs 1 per ten tokens, rounded up
FOREIGN_UTILITY = -1.0  # of any answer to an instruction that is not of the micro world


@dataclass(frozen=True)
class Account:
    """The terms of an answer's utility, summed by `utility(...)`.

    `wrong` lists the wrong claims, so that an annotator can notice or miss each; `cost` is the sum of all other
    penalties.
    """

    right: int
    wrong: tuple[Claim, ...]
    cost: float
    unit: float
    cap: int
    fillers: int
    bullets: int
    tokens: int

    def utility(self, noticed: Callable[[Claim], bool] | None = None) -> float:
        """U, where an unnoticed wrong claim counts as correct (gold: all wrong claims are noticed)."""
        caught = len(self.wrong) if noticed is None else sum(map(noticed, self.wrong))
        right = self.right + len(self.wrong) - caught
        return self.unit * (min(right, self.cap) - caught) - self.cost


def cap(task: Task) -> int:
    """K, the maximum number of correct claims that count."""
    return CAPS.get(task.skill) or (task.count if task.skill == "list" else len(task.values))


def ceiling(instruction: str) -> float:
    """The maximum utility of an answer to this instruction."""
    task = understand(instruction)
    return UNITS.get(task.skill, 1.0) * cap(task) if task else 1.0


def utility(instruction: str, response: str, *, finished: bool = True) -> float:
    """Gold utility of a response; `finished`: whether it ends with EOS."""
    return account(instruction, response).utility() - (0.0 if finished else UNFINISHED_COST)


@lru_cache(maxsize=131072)
def account(instruction: str, response: str) -> Account:
    """The utility terms of a response; never raises, for any text."""
    task, reading = understand(instruction), read(instruction, response)
    if task is None or reading is None:
        return Account(0, (), -FOREIGN_UTILITY, 1.0, 1, 0, 0, len(response.split()))
    right, off_topic, wrong = 0, 0, []
    for claim in dict.fromkeys(reading.claims):
        verdict = judge(task, claim)
        right += verdict == "right"
        off_topic += verdict == "off-topic"
        if verdict == "wrong":
            wrong.append(claim)
    repeated = (
        len(reading.claims) - len(set(reading.claims)) + len(reading.fillers) - len(set(reading.fillers))
    )
    cost = (
        OFF_TOPIC_COST * off_topic
        + REPEAT_COST * repeated
        + SHAPE_COST * _misshapen(task, reading.claims, reading.sentences)
    )
    cost += sum(-(-n // BAD_SENTENCE_TOKENS) for n in reading.bad_tokens)
    if not reading.claims and not reading.bad_tokens:
        cost += SILENCE_COST
    return Account(
        right=right,
        wrong=tuple(wrong),
        cost=cost,
        unit=UNITS.get(task.skill, 1.0),
        cap=cap(task),
        fillers=len(reading.fillers),
        bullets=reading.bullets,
        tokens=reading.tokens,
    )


def judge(task: Task, claim: Claim) -> str:
    """ "right", "wrong", "extra" (true and on topic, but not requested) or "off-topic"."""
    if claim[0] == "name":
        fits = claim[1] in truth().matches(task.category, task.values)
        return "right" if fits else "wrong"
    if task.skill == "combine":
        given = claim[0] == "is" and claim[1] == task.entities[0] and claim[2] in task.values
        return "right" if given else "wrong"
    if not true(claim):
        return "wrong"
    if task.skill in ("list", "recommend"):
        return "extra"
    if not set(claim[1:]) & set(task.entities):
        return "off-topic"
    return "right" if _answers(task, claim) else "extra"


def true(claim: Claim) -> bool:
    """Whether the claim is true in the micro world."""
    world = truth()
    if claim[0] == "is":
        return world.holds(claim[1], claim[2])
    if claim[0] == "not":
        return not world.holds(claim[1], claim[2])
    one, other = (lx.rank(world.value(e, claim[1])) for e in claim[2:])
    if claim[0] == "more":
        return one > other
    return one == other


def _answers(task: Task, claim: Claim) -> bool:
    if task.skill == "qa":
        return (
            claim[0] == "is" and claim[1] == task.entities[0] and lx.ATTRIBUTE_OF[claim[2]] == task.attribute
        )
    if task.skill == "verify":
        return claim[1:] == (task.entities[0], task.values[0])
    if task.skill == "contrast":
        return claim[0] == "more" and claim[1] == lx.COMPARATIVES[task.comparative][0]
    if task.skill == "describe":
        return claim[0] == "is" and claim[1] == task.entities[0]
    about = claim[1:] if claim[0] == "is" else claim[2:]
    return claim[0] != "not" and not set(about).isdisjoint(task.entities)


def _misshapen(task: Task, said: tuple[Claim, ...], sentences: int) -> int:
    """Number of format errors: a list or recommendation with too many names, a combination not in one sentence."""
    if task.skill in ("list", "recommend"):
        return Counter(c[0] for c in said)["name"] > cap(task)
    return task.skill == "combine" and sentences != 1
