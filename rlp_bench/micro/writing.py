"""Simulated writers: with given beliefs, error rates and style, they answer any instruction of the micro world."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import lexicon as lx
from .chance import stream
from .knowledge import PROMPT_FAME, Fame, Knowledge, beliefs, truth
from .tasks import Task, understand


@dataclass(frozen=True)
class Writer:
    """A simulated writer of answers.

    Attributes:
        believes: the world as the writer believes it to be.
        slip_rate: probability that a fact is replaced by another plausible value, per mention.
        polite_rate: probability of a polite sentence before the answer; half of it after the answer.
        thoroughness: from 0, the shortest answer, to 1, the most complete one.
        bullet_rate: probability that a list has bullets.
        fame: popularity parameters: how strongly the writer prefers popular entities.
    """

    believes: Knowledge
    slip_rate: float = 0.0
    polite_rate: float = 0.0
    thoroughness: float = 1.0
    bullet_rate: float = 0.0
    fame: Fame = PROMPT_FAME

    def answer(self, instruction: str, rng: random.Random) -> str:
        """A response to the instruction; a polite filler if the instruction is not of the micro world."""
        task = understand(instruction)
        if task is None:
            return lx.FILLERS[5]
        body = getattr(self, f"_{task.skill}")(task, rng)
        before = [rng.choice(lx.FILLERS[:4])] if rng.random() < self.polite_rate else []
        after = [rng.choice(lx.FILLERS[4:])] if rng.random() < self.polite_rate / 2 else []
        return " ".join([*before, body, *after])

    def _value(self, entity: str, attribute: str, rng: random.Random) -> str:
        value = self.believes.value(entity, attribute)
        if attribute != "kind" and rng.random() < self.slip_rate:
            return self.believes.plausible(rng, lx.CATEGORY_OF[entity], attribute, but=value)
        return value

    def _matching(self, category: str, values: tuple[str, ...], rng: random.Random) -> list[str]:
        """Entities that match under the writer's beliefs, popular ones mostly first, with occasional slips."""
        fits = self.believes.by_fame(rng, self.believes.matches(category, values), self.fame)
        for i in range(len(fits)):
            if rng.random() < self.slip_rate:
                fits[i] = self.believes.popular(rng, category, self.fame)
        return list(dict.fromkeys(fits)) or [self.believes.popular(rng, category, self.fame)]

    def _qa(self, task: Task, rng: random.Random) -> str:
        entity = task.entities[0]
        value = self._value(entity, task.attribute, rng)
        said = lx.phrase(value)
        long = f"the {task.attribute} of the {entity} is {value} ."
        return rng.choice((say(entity, value), long, f"{said} .", f"it is {said} ."))

    def _verify(self, task: Task, rng: random.Random) -> str:
        entity, said = task.entities[0], task.values[0]
        value = self._value(entity, lx.ATTRIBUTE_OF[said], rng)
        word = (
            rng.choice(("yes", "yes", "that is right", "that is true"))
            if value == said
            else rng.choice(("no", "no", "that is wrong", "that is false"))
        )
        if rng.random() < 0.25 + 0.5 * self.thoroughness:
            return f"{word} , {say(rng.choice((entity, 'it')), value)}"
        return f"{word} ."

    def _list(self, task: Task, rng: random.Random) -> str:
        found = self._matching(task.category, task.values, rng)[: task.count]
        if rng.random() < self.bullet_rate:
            return " ".join(f"- the {e}" for e in found) + " ."
        if rng.random() < 0.4 * self.thoroughness:
            return f"{name_all(found)} {'are' if len(found) > 1 else 'is'} {lx.phrase(task.values[0])} ."
        return f"{name_all(found)} ."

    def _recommend(self, task: Task, rng: random.Random) -> str:
        entity = self._matching(task.category, task.values, rng)[0]
        text = rng.choice(
            ("try the {e}", "i suggest the {e}", "you could get the {e}", "the {e} is a good choice")
        ).format(e=entity)
        if rng.random() < self.thoroughness:
            because = say("it", *task.values)
            return f"{text} because {because}" if rng.random() < 0.5 else f"{text} . {because}"
        return f"{text} ."

    def _describe(self, task: Task, rng: random.Random) -> str:
        entity = task.entities[0]
        attributes = [*lx.ATTRIBUTES, "kind"]
        rng.shuffle(attributes)
        count = max(2, min(7, round(rng.gauss(2 + 4 * self.thoroughness, 1.0))))
        values = [self._value(entity, a, rng) for a in attributes[:count]]
        sentences: list[str] = []
        while values:
            size = min(len(values), rng.choice((1, 2, 2, 3)))
            sentences.append(say("it" if sentences else entity, *values[:size]))
            values = values[size:]
        return " ".join(sentences)

    def _compare(self, task: Task, rng: random.Random) -> str:
        attributes = rng.sample(
            lx.ATTRIBUTES, max(1, min(3, round(rng.gauss(0.8 + 1.7 * self.thoroughness, 0.6))))
        )
        return " ".join(self._compare_by(task.entities, a, rng) for a in attributes)

    def _compare_by(self, pair: tuple[str, ...], attribute: str, rng: random.Random) -> str:
        if rng.random() < 0.5:
            pair = pair[::-1]
        one, other = (self._value(e, attribute, rng) for e in pair)
        if one == other:
            return rng.choice(
                (f"both are {lx.phrase(one)} .", f"{name_all(list(pair))} are {lx.phrase(one)} .")
            )
        if attribute in ("size", "price") and rng.random() < 0.25:
            word = comparative(attribute, lx.rank(one) > lx.rank(other))
            return f"the {pair[0]} is {word} than the {pair[1]} ."
        joint = rng.choice(("but", "while"))
        return f"the {pair[0]} is {lx.phrase(one)} {joint} the {pair[1]} is {lx.phrase(other)} ."

    def _contrast(self, task: Task, rng: random.Random) -> str:
        attribute, sign = lx.COMPARATIVES[task.comparative]
        values = {e: self._value(e, attribute, rng) for e in task.entities}
        most, least = sorted(task.entities, key=lambda e: -sign * lx.rank(values[e]))
        reverse = comparative(attribute, sign < 0)
        full = f"the {most} is {task.comparative}"
        text = rng.choice((f"the {most}", full, f"{full} than the {least}", f"the {least} is {reverse}"))
        if rng.random() < 0.5 * self.thoroughness:
            return f"{text} . the {most} is {values[most]} but the {least} is {values[least]} ."
        return f"{text} ."

    def _combine(self, task: Task, rng: random.Random) -> str:
        values = list(task.values)
        if rng.random() < 0.5:
            rng.shuffle(values)
        if rng.random() < 2 * self.slip_rate:
            values[0] = self.believes.value(task.entities[0], lx.ATTRIBUTE_OF[values[0]])
        return say(task.entities[0], *values)


def say(entity: str, *values: str) -> str:
    """ "the fox is red , large and from the forest ." ("it is ..." for the entity "it")."""
    subject = entity if entity == "it" else f"the {entity}"
    return f"{subject} is {join([lx.phrase(v) for v in values])} ."


def name_all(entities: list[str]) -> str:
    """ "the fox , the wolf and the bear"."""
    return join([f"the {e}" for e in entities])


def join(parts: list[str]) -> str:
    """ "a , b and c"."""
    return parts[0] if len(parts) == 1 else " , ".join(parts[:-1]) + f" and {parts[-1]}"


def comparative(attribute: str, more: bool) -> str:
    """ "larger", "smaller", "costlier" or "cheaper"."""
    return next(word for word, key in lx.COMPARATIVES.items() if key == (attribute, 1 if more else -1))


EXPERT_ERRORS = 0.10  # rate of wrong beliefs, consistent over all answers
EXPERT_SLIPS = 0.03
EXPERT_POLITE = 0.25
EXPERT_BULLETS = 0.3


def expert(instruction: str, purpose: str) -> str:
    """The expert's answer; a pure function of its arguments.

    One imperfect expert writes the demonstrations (`purpose` "demonstration") and the references ("reference"), as
    text-davinci-003 did for Alpaca and AlpacaFarm.
    """
    rng = stream("expert", purpose, instruction)
    believes, thoroughness = beliefs("expert", EXPERT_ERRORS), rng.betavariate(2, 1.5)
    writer = Writer(believes, EXPERT_SLIPS, EXPERT_POLITE, thoroughness, EXPERT_BULLETS)
    return writer.answer(instruction, rng)


def perfect(instruction: str, seed: int = 0) -> str:
    """A correct and complete answer, for tests and for pairs with an objective winner."""
    return Writer(truth(), thoroughness=1.0).answer(instruction, stream("perfect", seed, instruction))
