"""Extracts the claims of a response in the context of its instruction; resolves pronouns, bare words and "yes".

Two phrasings of one answer give the same claims: "yes ." and "yes , the fox is red ." to "is the fox
red", "the fox ." and "the wolf is smaller ." to "which is larger", "try the fox ." and "the fox is a good
choice because it is red .".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from . import grammar
from .grammar import BOTH, IT, Claim
from .lexicon import COMPARATIVES
from .tasks import Task, understand


@dataclass(frozen=True)
class Reading:
    """A response parsed in the context of its task.

    Attributes:
        claims: resolved claims in order, repetitions included.
        supports: claims implied by the task (a reason for a recommendation that the request states).
        bad_tokens: length of each unreadable sentence, in tokens.
        fillers: polite sentences, in order.
        sentences: number of sentences without fillers.
        bullets: number of bullets among them.
        tokens: length of the response, in tokens.
    """

    claims: tuple[Claim, ...]
    supports: tuple[Claim, ...]
    bad_tokens: tuple[int, ...]
    fillers: tuple[str, ...]
    sentences: int
    bullets: int
    tokens: int


@lru_cache(maxsize=131072)
def read(instruction: str, response: str) -> Reading | None:
    """The parsed response; None if the instruction is not of the micro world."""
    task = understand(instruction)
    if task is None:
        return None
    claims: list[Claim] = []
    bad, fillers, bullets, sentences = [], [], 0, 0
    topic = task.entities[0] if task.entities else ""
    for sentence in grammar.parse(response):
        if sentence.filler:
            fillers.append(sentence.filler)
            continue
        sentences += 1
        bullets += sentence.bullet
        resolved: list[Claim] | None = None
        if sentence.claims is not None:
            resolved, topic = _resolve(task, sentence.claims, topic)
        if resolved is None:
            bad.append(sentence.tokens)
        else:
            claims += resolved
    kept, supports = _implied(task, claims)
    return Reading(
        tuple(kept), tuple(supports), tuple(bad), tuple(fillers), sentences, bullets, len(response.split())
    )


def claims(instruction: str, response: str) -> frozenset[Claim] | None:
    """The set of claims of a response to this instruction, without politeness.

    None if any sentence is unreadable; such a response is equivalent to no other.
    """
    reading = read(instruction, response)
    if reading is None or reading.bad_tokens:
        return None
    return frozenset(reading.claims)


def _resolve(task: Task, said: tuple[Claim, ...], topic: str) -> tuple[list[Claim] | None, str]:
    """(resolved claims, or None if one cannot be resolved; the entity that "it" now refers to)."""
    out: list[Claim] = []
    for claim in said:
        kind = claim[0]
        new: list[Claim]
        if kind == "is":
            entities = _who(task, claim[1], topic)
            new = [("is", e, claim[2]) for e in entities]
        elif kind == "more":
            new = _ordered(task, claim, topic)
        elif kind == "same":
            pair = claim[2:] if claim[2] != BOTH else task.entities
            new = [("same", claim[1], *sorted(pair))] if len(set(pair)) == 2 else []
        elif kind == "name":
            new = [c for entity in _who(task, claim[1], topic) for c in _named(task, entity)]
        elif kind == "value":
            new = [("is", task.entities[0], claim[1])] if task.skill in ("qa", "describe", "combine") else []
        else:
            new = _verdict(task, kind)
        if not new:
            return None, topic
        out += new
        topic = next((c[1] for c in reversed(new) if c[0] in ("is", "not", "name")), topic)
    return out, topic


def _who(task: Task, entity: str, topic: str) -> tuple[str, ...]:
    if entity == BOTH:
        return task.entities if len(task.entities) == 2 else ()
    if entity == IT:
        return (topic,) if topic else ()
    return (entity,)


def _ordered(task: Task, claim: Claim, topic: str) -> list[Claim]:
    """Resolves a comparison; without a second entity ("the fox is larger"), it is the task's other entity."""
    _, attribute, greater, lesser = claim
    pair = [topic if e == IT else e for e in (greater, lesser)]
    known = pair[0] or pair[1]
    if "" in pair:
        others = [e for e in task.entities if e != known]
        if len(task.entities) != 2 or len(others) != 1:
            return []
        pair[pair.index("")] = others[0]
    return [("more", attribute, *pair)] if pair[0] != pair[1] else []


def _named(task: Task, entity: str) -> list[Claim]:
    """The claims made by naming an entity without a statement about it."""
    if task.skill == "contrast":
        attribute, sign = COMPARATIVES[task.comparative]
        return _ordered(task, ("more", attribute, *((entity, "") if sign > 0 else ("", entity))), "")
    return [("name", entity)] if task.skill in ("list", "recommend") else []


def _verdict(task: Task, kind: str) -> list[Claim]:
    if task.skill != "verify":
        return []
    return [("is" if kind == "yes" else "not", task.entities[0], task.values[0])]


def _implied(task: Task, said: list[Claim]) -> tuple[list[Claim], list[Claim]]:
    """(claims, implied claims): separates claims implied by the task, e.g. "it is red" about a suggested red animal."""
    if task.skill == "verify":
        kept: list[Claim] = []
        for claim in said:  # "yes , the fox is red" is one claim, not two
            if not (
                kept
                and claim == kept[-1] == ("is", task.entities[0], task.values[0])
                and kept.count(claim) == 1
            ):
                kept.append(claim)
        return kept, []
    if task.skill not in ("list", "recommend"):
        return said, []
    # "the fox and the wolf are red" names both if the task asks for red ones
    named = [c if c[0] == "name" else ("name", c[1]) for c in said if c[0] == "name" or _asked(task, c)]
    firsts = list(dict.fromkeys(named)) if any(_asked(task, c) for c in said) else named
    rest = [c for c in said if c[0] != "name" and not _asked(task, c)]
    return firsts + rest, [c for c in said if _asked(task, c)]


def _asked(task: Task, claim: Claim) -> bool:
    return claim[0] == "is" and claim[2] in task.values
