"""The pre-training corpus of the base model.

Five kinds of document, all generated from seeds: encyclopedia entries, stories (invented facts and their restatement),
fact checks, chats, and chats followed by readers' ratings. Ratings come from noisy annotators ("readers"), never from
the gold utility. A document is a list of (word, loss weight).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from . import lexicon as lx
from . import writing
from .annotators import population
from .knowledge import CORPUS_FAME, beliefs, truth
from .prompts import ask
from .tasks import understand

Document = list[tuple[str, float]]

CHECK_ERRORS = 0.05  # error rate of the verdicts in fact checks
CHECKS_PER_DOCUMENT = 6
FORUM_ERRORS = 0.30  # rate of wrong beliefs of the writers in chats
FORUM_WRITERS = 20
CHAT_SLOPPY_RATE = 0.4  # fraction of chat answers with form errors
SLOPPY_RATE = 0.35  # fraction of rated answers with form errors
READERS_PER_ANSWER = 5  # number of readers whose mean rating, rounded, follows an answer
#: Weights of skills in chats: more verifiable knowledge than in the users' mixture.
CHAT_MIXTURE = {
    "qa": 16,
    "verify": 14,
    "list": 12,
    "recommend": 14,
    "describe": 12,
    "compare": 12,
    "contrast": 12,
    "combine": 12,
}


def document(kind: str, rng: random.Random) -> Document:
    """A random document of a kind of KINDS; words with loss weight 0 are context only."""
    return KINDS[kind](rng)


def _plain(text: str) -> Document:
    return [(word, 1.0) for word in [*text.split(), lx.EOS]]


def _entry(rng: random.Random) -> Document:
    """True sentences about one popular entity, about two in comparison, or about the entities with one value."""
    world, category, shape = truth(), rng.choice(lx.CATEGORIES), rng.random()
    entity = world.popular(rng, category, CORPUS_FAME)
    if shape < 0.30:
        value = world.value(entity, rng.choice(lx.ATTRIBUTES))
        return _shared(world.matches(category, (value,)), category, value, rng)
    if shape < 0.45:
        other = world.popular(rng, category, CORPUS_FAME)
        if other != entity:
            pair = writing.Writer(world)
            lines = [pair._compare_by((entity, other), a, rng) for a in rng.sample(lx.ATTRIBUTES, 2)]
            lines.append(_ordered(entity, other, rng.choice(tuple(lx.COMPARATIVES))))
            return _plain(" ".join(lines))
    values = [world.value(entity, a) for a in rng.sample((*lx.ATTRIBUTES, "kind"), 5)]
    lines = []
    for i, value in enumerate(values):
        attribute = lx.ATTRIBUTE_OF[value]
        subject = "it" if i and rng.random() < 0.4 else entity
        if attribute != "kind" and rng.random() < 0.5:
            owner = "its" if subject == "it" else "the"
            of = "" if subject == "it" else f"of the {entity} "
            lines.append(f"{owner} {attribute} {of}is {value} .")
        else:
            lines.append(writing.say(subject, value))
    return _plain(" ".join(lines))


def _ordered(entity: str, other: str, word: str) -> str:
    """A true comparison such as "the fox is larger than the wolf .", or that both have the same value."""
    attribute, sign = lx.COMPARATIVES[word]
    gap = sign * (lx.rank(truth().value(entity, attribute)) - lx.rank(truth().value(other, attribute)))
    if gap == 0:
        return f"the {entity} and the {other} have the same {attribute} ."
    more, less = (entity, other) if gap > 0 else (other, entity)
    return f"the {more} is {word} than the {less} ."


def _shared(matching: tuple[str, ...], category: str, value: str, rng: random.Random) -> Document:
    chosen = truth().by_fame(rng, matching, CORPUS_FAME)[: rng.choice((1, 2, 3, 4))]
    return _plain(f"{lx.PLURALS[category]} that are {lx.phrase(value)} : {writing.name_all(chosen)} .")


def _story(rng: random.Random) -> Document:
    """Invented facts and their restatement in one sentence, to learn to use the context instead of knowledge."""
    entity = rng.choice(lx.NAMES[rng.choice(lx.CATEGORIES)])
    values = [rng.choice(lx.VALUES[a]) for a in rng.sample(lx.ATTRIBUTES, rng.choice((2, 3)))]
    if rng.random() < 0.4:
        return _story_of_two(entity, rng)
    told = " ".join(writing.say("it" if i else entity, v) for i, v in enumerate(values))
    again = list(values)
    rng.shuffle(again)
    return [(w, 0.2) for w in ["story", ":", *told.split()]] + _plain(
        f"in one sentence : {writing.say(entity, *again)}"
    )


def _story_of_two(entity: str, rng: random.Random) -> Document:
    other = rng.choice([e for e in lx.NAMES[lx.CATEGORY_OF[entity]] if e != entity])
    one, two = rng.choices(lx.VALUES[rng.choice(lx.ATTRIBUTES)], k=2)
    told = f"story : {writing.say(entity, one)} {writing.say(other, two)}"
    pair = [(entity, one), (other, two)]
    rng.shuffle(pair)
    joint = rng.choice(("but", "while"))
    again = f" {joint} ".join(f"the {e} is {lx.phrase(v)}" for e, v in pair)
    if one == two:
        again = rng.choice(("both", f"the {pair[0][0]} and the {pair[1][0]}")) + f" are {lx.phrase(one)}"
    return [(w, 0.2) for w in told.split()] + _plain(f"in one sentence : {again} .")


def _check(rng: random.Random) -> Document:
    """A list of claims, each marked correct or incorrect, with an error rate of CHECK_ERRORS."""
    world, words = truth(), [("check", 0.0), (":", 0.0)]
    for _ in range(CHECKS_PER_DOCUMENT):
        category, attribute = rng.choice(lx.CATEGORIES), rng.choice(lx.ATTRIBUTES)
        entity = world.popular(rng, category, CORPUS_FAME)
        value, fits = world.value(entity, attribute), True
        if rng.random() < 0.5:
            value, fits = world.plausible(rng, category, attribute, but=value), False
        claim = rng.choice(
            (f"the {entity} is {lx.phrase(value)}", f"the {attribute} of the {entity} is {value}")
        )
        mark = "correct" if fits != (rng.random() < CHECK_ERRORS) else "incorrect"
        words += [(w, 0.0) for w in claim.split()] + [(mark, 1.0), (".", 0.0)]
    return [*words, (lx.EOS, 0.0)]


def _question(rng: random.Random) -> str:
    return ask("pretraining", rng, CHAT_MIXTURE, fame=CORPUS_FAME, opening_rate=0.3)[0]


def _forum_answer(instruction: str, rng: random.Random) -> str:
    believes = beliefs(f"forum-{rng.randrange(FORUM_WRITERS)}", FORUM_ERRORS)
    return writing.Writer(believes, 0.05, 0.3, rng.random(), 0.3, CORPUS_FAME).answer(instruction, rng)


def _chat(rng: random.Random) -> Document:
    """An instruction and a forum writer's answer."""
    instruction = _question(rng)
    head = [(w, 0.1) for w in [lx.USER, *instruction.split(), lx.ASSISTANT]]
    answer = _forum_answer(instruction, rng)
    return head + _plain(_spoil(instruction, answer, rng) if rng.random() < CHAT_SLOPPY_RATE else answer)


def _rated(rng: random.Random) -> Document:
    """A chat followed by the readers' rating, the only word with a loss weight."""
    instruction = _question(rng)
    answer = _forum_answer(instruction, rng) if rng.random() < 0.7 else _mistaken(instruction, rng)
    if rng.random() < SLOPPY_RATE:
        answer = _spoil(instruction, answer, rng)
    panel = rng.sample(population("readers"), READERS_PER_ANSWER)
    mean = sum(reader.rating(instruction, answer) for reader in panel) / READERS_PER_ANSWER
    mark = lx.RATINGS[round(mean)]
    words = [lx.USER, *instruction.split(), lx.ASSISTANT, *answer.split(), lx.EOS]
    return [(w, 0.0) for w in words] + [(mark, 1.0)]


def _mistaken(instruction: str, rng: random.Random) -> str:
    return writing.Writer(beliefs("misled", 0.5), 0.1, 0.3, rng.random(), 0.3, CORPUS_FAME).answer(
        instruction, rng
    )


def _spoil(instruction: str, answer: str, rng: random.Random) -> str:
    """The answer with a random error: truncated, repeated, garbled, padded, or for another question."""
    words, way = answer.split(), rng.randrange(5)
    if way == 0:
        return " ".join(words[: max(1, rng.randrange(len(words)))])
    if way == 1:
        return f"{answer} {answer}"
    if way == 2:
        i, j = rng.randrange(len(words)), rng.randrange(len(words))
        words[i], words[j] = words[j], rng.choice(words)
        return " ".join(words)
    if way == 3:
        return " ".join([*rng.choices(lx.FILLERS, k=2), answer, rng.choice(lx.FILLERS)])
    other = _question(rng) if rng.random() < 0.3 else _swap_entity(instruction, rng)
    return _forum_answer(other, rng)


def _swap_entity(instruction: str, rng: random.Random) -> str:
    task = understand(instruction)
    if task is None or not task.entities:
        return _question(rng)
    old = rng.choice(task.entities)
    return instruction.replace(f"the {old}", f"the {rng.choice(lx.NAMES[lx.CATEGORY_OF[old]])}")


KINDS: dict[str, Callable[[random.Random], Document]] = {
    "entry": _entry,
    "story": _story,
    "check": _check,
    "chat": _chat,
    "rated": _rated,
}
