"""Parser of the micro world's controlled English: a response is split into sentences, a sentence into claims.

A claim is a tuple: `("is", entity, value)`, `("not", entity, value)`, `("more", attribute, greater, lesser)`,
`("same", attribute, one, other)`, `("name", entity)` for an entity without a statement, `("value", value)` for a
value alone. The last two, and `("yes",)` and `("no",)`, are resolved by the instruction (`reading.py`), as are the
pronouns "it" (entity `IT`) and "both" (entity `BOTH`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from . import lexicon as lx

Claim = tuple[str, ...]
IT, BOTH = "it", "both"
#: Openings of a suggestion, before "the <entity>".
PROPOSALS = (("try",), ("i", "suggest"), ("you", "could", "get"))
YES = ("yes", "true", "that is right", "that is true")
NO = ("no", "false", "that is wrong", "that is false")


@dataclass(frozen=True)
class Sentence:
    """One sentence or bullet of a response.

    `claims` is None if the sentence is unreadable. `filler` is its text if it is only polite.
    """

    tokens: int
    claims: tuple[Claim, ...] | None
    filler: str = ""
    bullet: bool = False


@lru_cache(maxsize=65536)
def parse(response: str) -> tuple[Sentence, ...]:
    """The sentences of a response; unreadable ones have `claims` None. Never raises, for any text."""
    sentences: list[Sentence] = []
    words: list[str] = []
    bullet = False
    for word in response.split():
        if word == "-":
            if words:
                sentences.append(_sentence(words, bullet, ended=bullet))
            words, bullet = [], True
        elif word in (".", "!", "?"):
            sentences.append(_sentence([*words, word], bullet, ended=True))
            words, bullet = [], False
        else:
            words.append(word)
    if words or bullet:
        sentences.append(_sentence(words, bullet, ended=bullet))
    return tuple(sentences)


def _sentence(words: list[str], bullet: bool, ended: bool) -> Sentence:
    text = " ".join(words)
    if text in lx.FILLERS:
        return Sentence(len(words), (), filler=text)
    if not ended or words[-1:] in (["!"], ["?"]):
        return Sentence(len(words), None)
    body = tuple(words[:-1] if words[-1:] == ["."] else words)
    claims = _statement(body) if body else None
    return Sentence(len(words) + bullet, None if claims is None else tuple(claims), bullet=bullet)


def _statement(words: tuple[str, ...]) -> list[Claim] | None:
    """Claims of "yes", "no , CLAUSE", "CLAUSE but CLAUSE", "PROPOSAL because CLAUSE" or CLAUSE; None for others."""
    head, _, tail = " ".join(words).partition(" , ")
    verdict = "yes" if head in YES else "no" if head in NO else ""
    if verdict:
        if not tail:
            return [(verdict,)] if len(words) == len(head.split()) else None
        rest = _statement(tuple(tail.split()))
        return None if rest is None else [(verdict,), *rest]
    for joint in ("but", "while", "because"):
        if joint in words:
            at = words.index(joint)
            left, right = _clause(words[:at]), _clause(words[at + 1 :])
            return None if left is None or right is None else left + right
    return _clause(words)


def _clause(words: tuple[str, ...]) -> list[Claim] | None:
    for proposal in PROPOSALS:
        if words[: len(proposal)] == proposal:
            entities, rest = _entities(words[len(proposal) :])
            return [("name", e) for e in entities] if entities and not rest else None
    if words[:1] == ("its",) and words[2:3] == ("is",):
        return _attribute_is(IT, words[1], words[3:])
    if words[:1] == ("the",) and words[2:4] == ("of", "the") and words[5:6] == ("is",):
        return _attribute_is(words[4], words[1], words[6:])
    subjects, rest = _subjects(words)
    if not subjects:
        values = _predicates(words)
        return None if values is None else [("value", v) for v in values]
    if not rest:
        return [("name", e) for e in subjects] if subjects not in ((IT,), (BOTH,)) else None
    return _says(subjects, rest)


def _attribute_is(entity: str, attribute: str, words: tuple[str, ...]) -> list[Claim] | None:
    value = words[-1] if words[:-1] in ((), ("the",)) and words else ""
    fits = lx.ATTRIBUTE_OF.get(value) == attribute and (words[:-1] == () or attribute == "place")
    known = entity == IT or entity in lx.CATEGORY_OF
    return [("is", entity, value)] if fits and known and attribute != "kind" else None


def _subjects(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(entities, remaining words); no entities if the words do not begin with a subject."""
    if words[:1] == ("it",):
        return (IT,), words[1:]
    if words[:1] in (("both",), ("they",)):
        return (BOTH,), words[1:]
    return _entities(words)


def _entities(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """ "the fox , the wolf and the bear ..." -> (entities, remaining words)."""
    found: list[str] = []
    while len(words) >= 2 and words[0] == "the" and words[1] in lx.CATEGORY_OF:
        found.append(words[1])
        words = words[2:]
        if len(words) >= 3 and words[0] in (",", "and") and words[1] == "the" and words[2] in lx.CATEGORY_OF:
            words = words[1:]
        else:
            break
    return tuple(found), words


def _says(subjects: tuple[str, ...], words: tuple[str, ...]) -> list[Claim] | None:
    """Claims about the subjects: a comparison, equality or predicates."""
    plural = len(subjects) > 1 or subjects == (BOTH,)
    if words[:3] == ("have", "the", "same") and len(words) == 4 and words[3] in lx.VALUES and plural:
        return [("same", words[3], *subjects)] if len(subjects) <= 2 else None
    if words[:1] != (("are",) if plural else ("is",)):
        return None
    words = words[1:]
    if plural and words[:1] == ("both",):
        words = words[1:]
    if words == ("a", "good", "choice") and not plural:
        return [("name", subjects[0])]
    if words and words[0] in lx.COMPARATIVES and not plural:
        return _comparison(subjects[0], words)
    values = _predicates(words)
    if values is None or not values:
        return None
    return [("is", e, v) for e in subjects for v in values]


def _comparison(entity: str, words: tuple[str, ...]) -> list[Claim] | None:
    attribute, sign = lx.COMPARATIVES[words[0]]
    other = ""
    if len(words) > 1:
        if words[1:3] != ("than", "the") or len(words) != 4 or words[3] not in lx.CATEGORY_OF:
            return None
        other = words[3]
    return [("more", attribute, entity, other) if sign > 0 else ("more", attribute, other, entity)]


def _predicates(words: tuple[str, ...]) -> list[str] | None:
    """ "red , from the forest and best in winter" -> values; None if any part is not a predicate."""
    values: list[str] = []
    while words:
        if words[:2] == ("from", "the"):
            words, wanted = words[2:], "place"
        elif words[:2] == ("best", "in"):
            words, wanted = words[2:], "season"
        elif words[0] in ("a", "an"):
            words, wanted = words[1:], "kind"
        else:
            wanted = ""
        if not words:
            return None
        attribute = lx.ATTRIBUTE_OF.get(words[0])
        if attribute is None or (wanted and attribute != wanted) or (not wanted and attribute == "kind"):
            return None
        values.append(words[0])
        words = words[1:]
        if words:
            if words[0] not in (",", "and") or len(words) == 1:
                return None
            words = words[1:]
    return values or None
