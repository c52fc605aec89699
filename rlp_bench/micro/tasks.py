"""Tasks of the micro world: eight skills from closed to open, their wordings, and their parser `understand`.

Answers are judged from the instruction's *text*: `understand(render(task, ...)) == task`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from . import lexicon as lx

#: The skills, which are also the eight categories of the Vicuna-like suite.
SKILLS = ("qa", "verify", "list", "recommend", "describe", "compare", "contrast", "combine")
#: Skills whose answers are objectively right or wrong.
OBJECTIVE = ("qa", "verify", "list", "contrast", "combine")


@dataclass(frozen=True)
class Task:
    """The task of an instruction.

    qa: entities (e,), attribute. verify: entities (e,), values (v,). list: category, values (v,), count.
    recommend: category, values (one or two constraints). describe: entities (e,). compare: entities (e1, e2).
    contrast: entities (e1, e2), comparative. combine: entities (e,), values (the given facts, not the
    world's).
    """

    skill: str
    entities: tuple[str, ...] = ()
    attribute: str = ""
    values: tuple[str, ...] = ()
    category: str = ""
    count: int = 0
    comparative: str = ""


#: Slots: {e} {f} entities, {a} attribute, {v} {w} predicates, {c} category, {cs} plural, {n} number, {m}
#: comparative, {facts} sentences.
WORDINGS: dict[str, tuple[str, ...]] = {
    "qa": (
        "what is the {a} of the {e} ?",
        "tell me the {a} of the {e} .",
        "which {a} does the {e} have ?",
        "i want to know the {a} of the {e} .",
        "do you know the {a} of the {e} ?",
    ),
    "verify": (
        "is it true that the {e} is {v} ?",
        "true or false : the {e} is {v} .",
        "do you agree that the {e} is {v} ?",
        "i think that the {e} is {v} . is that right ?",
        "check this : the {e} is {v} .",
    ),
    "list": (
        "list {n} {cs} that are {v} .",
        "name {n} {cs} that are {v} .",
        "give me {n} {cs} that are {v} .",
        "which {n} {cs} are {v} ?",
        "i want to know {n} {cs} that are {v} .",
    ),
    "recommend": (
        "recommend {c} that is {v} .",
        "which {c1} is {v} ?",
        "i am looking for {c} that is {v} .",
        "can you suggest {c} that is {v} ?",
        "recommend {c} that is {v} and {w} .",
        "i am looking for {c} that is {v} and {w} .",
        "can you suggest {c} that is {v} and {w} ?",
    ),
    "describe": (
        "describe the {e} .",
        "tell me about the {e} .",
        "what do you know about the {e} ?",
        "write about the {e} .",
        "give me some facts about the {e} .",
    ),
    "compare": (
        "compare the {e} and the {f} .",
        "how do the {e} and the {f} differ ?",
        "write about the {e} and the {f} .",
        "tell me how the {e} and the {f} compare .",
    ),
    "contrast": (
        "which is {m} , the {e} or the {f} ?",
        "tell me which is {m} : the {e} or the {f} .",
        "of the {e} and the {f} , which is {m} ?",
        "do you know which is {m} , the {e} or the {f} ?",
    ),
    "combine": (
        "combine these facts : {facts}",
        "write this as one sentence : {facts}",
        "say this in one sentence : {facts}",
    ),
}

#: Words before and after a request.
OPENINGS = (
    "hello ,",
    "hi there ,",
    "quick question :",
    "please help me .",
    "for my homework :",
    "my friend asks :",
    "good morning .",
    "just curious :",
    "listen ,",
)
CLOSINGS = ("thanks .", "thank you .", "please .")

_ENTITY = "(?:" + "|".join(lx.CATEGORY_OF) + ")"
_PREDICATE = r"(?:from the |best in )?[a-z]+"
_SLOTS = {
    "e": _ENTITY,
    "f": _ENTITY,
    "a": "(?:" + "|".join(lx.ATTRIBUTES) + ")",
    "v": _PREDICATE,
    "w": _PREDICATE,
    "c": "an? [a-z]+",
    "c1": "[a-z]+",
    "cs": "(?:" + "|".join(lx.SINGULARS) + ")",
    "n": "(?:" + "|".join(lx.NUMBERS) + ")",
    "m": "(?:" + "|".join(lx.COMPARATIVES) + ")",
    "facts": ".+",
}


def _pattern(wording: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", wording)
    out = [re.escape(p) if i % 2 == 0 else f"(?P<{p}>{_SLOTS[p]})" for i, p in enumerate(parts)]
    return re.compile("".join(out))


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((skill, _pattern(w)) for skill, wordings in WORDINGS.items() for w in wordings)


def _with_article(category: str) -> str:
    return lx.phrase(category)


def facts_text(task: Task) -> str:
    """The given facts of a combine task: "the fox is green . it is tiny ."."""
    first, *rest = task.values
    return " ".join(
        [f"the {task.entities[0]} is {lx.phrase(first)} .", *(f"it is {lx.phrase(v)} ." for v in rest)]
    )


def wordings(task: Task) -> tuple[str, ...]:
    """The wordings for the task (a recommendation with two constraints needs two slots)."""
    if task.skill != "recommend":
        return WORDINGS[task.skill]
    return tuple(w for w in WORDINGS["recommend"] if ("{w}" in w) == (len(task.values) == 2))


def render(task: Task, wording: str, opening: str = "", closing: str = "") -> str:
    """The instruction text of a task."""
    e, f = (*task.entities, "", "")[:2]
    v, w = (*task.values, "", "")[:2]
    core = wording.format(
        e=e,
        f=f,
        a=task.attribute,
        v=lx.phrase(v) if v else "",
        w=lx.phrase(w) if w else "",
        c=_with_article(task.category) if task.category else "",
        c1=task.category,
        cs=lx.PLURALS.get(task.category, ""),
        n=lx.NUMBER_WORDS.get(task.count, ""),
        m=task.comparative,
        facts=facts_text(task) if task.skill == "combine" else "",
    )
    return " ".join(part for part in (opening, core, closing) if part)


def _value(predicate: str) -> str | None:
    """The value of a predicate; None if it is malformed ("from the red")."""
    value = predicate.split()[-1]
    attribute = lx.ATTRIBUTE_OF.get(value)
    return value if attribute not in (None, "kind") and lx.phrase(value) == predicate else None


def _given(text: str) -> tuple[str, tuple[str, ...]] | None:
    """(entity, values) of "the fox is green . it is tiny .", or None."""
    sentences = [s.strip() for s in text.split(" .")]
    if len(sentences) < 2 or sentences[-1] != "":
        return None
    values, entity = [], ""
    for i, sentence in enumerate(sentences[:-1]):
        subject, verb, predicate = sentence.partition(" is ")
        value = _value(predicate) if verb else None
        if value is None or (i > 0 and subject != "it"):
            return None
        if i == 0:
            entity = subject.removeprefix("the ")
        values.append(value)
    return (entity, tuple(values)) if entity in lx.CATEGORY_OF else None


def _task(skill: str, slot: dict[str, str]) -> Task | None:
    """The task of matched slots; None if a slot is invalid."""
    entities = tuple(slot[k] for k in ("e", "f") if k in slot)
    if skill == "combine":
        given = _given(slot["facts"])
        return Task(skill, entities=(given[0],), values=given[1]) if given else None
    values = tuple(_value(slot[k]) or "" for k in ("v", "w") if k in slot)
    if "" in values:
        return None
    category = slot.get("c1") or slot.get("c", "").split(" ")[-1] or lx.SINGULARS.get(slot.get("cs", ""), "")
    if category and category not in lx.NAMES:
        return None
    count = lx.NUMBERS.get(slot.get("n", ""), 0)
    return Task(skill, entities, slot.get("a", ""), values, category, count, slot.get("m", ""))


@lru_cache(maxsize=65536)
def understand(instruction: str) -> Task | None:
    """The task of an instruction; None if the text is not an instruction of the micro world."""
    text = " ".join(instruction.split())
    for opening in OPENINGS:
        if text.startswith(opening + " "):
            text = text[len(opening) + 1 :]
            break
    for closing in CLOSINGS:
        if text.endswith(" " + closing):
            text = text[: -len(closing) - 1]
            break
    for skill, pattern in _patterns():
        match = pattern.fullmatch(text)
        task = _task(skill, match.groupdict()) if match else None
        if task is not None:
            return task
    return None
