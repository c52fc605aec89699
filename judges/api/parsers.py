"""Parsers of a judge's reply: each returns the preference for the first answer in [0, 1], or None for no verdict.

Strict on purpose: a verdict must be where the prompt asks for it, and two verdicts count as none. A parser gets the
judge's reply only, never the answers. Raise a parser's version when its result changes for some reply.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

SIDES = {"A": 1.0, "B": 0.0}
MARKS = " \t\r\n\"'`*()[]."
VERDICT_LINE = re.compile(
    r"^[\s*_#>]*verdict[\s*_]*:[\s*_]*(?P<side>.*?)[\s*_.]*$", re.IGNORECASE | re.MULTILINE
)
FENCED = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL)
BRACKETED = re.compile(r"\[\[([ABC])\]\]")
LEAST_MASS = 0.5
"""Minimum total probability of the two labels; below it there is no verdict. Ours."""


def letter(text: str) -> float | None:
    """The verdict of a reply that is A or B alone, with optional quotes, brackets or full stop around it."""
    return SIDES.get(text.strip(MARKS)) if len(text) < 100 else None


def verdict_line(text: str) -> float | None:
    """The verdict of a reply whose last line is `Verdict: A` or `Verdict: B`, with no other verdict line."""
    found = list(VERDICT_LINE.finditer(text))
    if len(found) != 1 or text[found[0].end() :].strip():
        return None
    return SIDES.get(found[0]["side"].strip(MARKS))


def json_winner(text: str) -> float | None:
    """The verdict of one JSON object, bare or fenced, with `"winner": "A"` or `"B"`; duplicate keys give None."""
    fenced = FENCED.fullmatch(text)
    try:
        found = json.loads(fenced[1] if fenced else text, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        return None
    winner = found.get("winner") if isinstance(found, dict) else None
    return SIDES.get(winner) if isinstance(winner, str) else None


def double_brackets(text: str) -> float | None:
    """The verdict `[[A]]`, `[[B]]`, or `[[C]]` for a tie, as in MT-Bench; None if a reply has different ones.

    Departs: FastChat takes [[A]] anywhere in the reply, even if [[B]] follows.
    """
    found = set(BRACKETED.findall(text))
    return {"A": 1.0, "B": 0.0, "C": 0.5}[found.pop()] if len(found) == 1 else None


def weighted(first_token: Mapping[str, float] | None, labels: tuple[str, str] = ("A", "B")) -> float | None:
    """p(first) / (p(first) + p(second)) from log-probabilities (nats) of the reply's first token.

    Source: AlpacaEval 2, logprob_parser (there 2 - p(m) / (p(m) + p(M)), m shown first). Departs: "A", " A" and
    "\\nA" count as one label; there is no verdict if both labels together have less than half of the probability.
    """
    if not first_token:
        return None
    mass = label_mass(first_token, labels)
    total = sum(mass)
    return mass[0] / total if total >= LEAST_MASS else None


def label_mass(first_token: Mapping[str, float], labels: tuple[str, str] = ("A", "B")) -> tuple[float, float]:
    """Probability of each label, including its variants with white space; labels not listed have 0."""
    mass = dict.fromkeys(labels, 0.0)
    for token, logprob in first_token.items():
        if token.strip() in mass and not math.isnan(logprob):
            mass[token.strip()] += math.exp(min(logprob, 0.0))
    return mass[labels[0]], mass[labels[1]]


PARSERS: Mapping[str, tuple[str, Callable[[str], float | None]]] = {
    "letter": ("1", letter),
    "verdict_line": ("1", verdict_line),
    "json_winner": ("1", json_winner),
    "double_brackets": ("1", double_brackets),
}
"""Name -> (version, parser of a reply)."""
WEIGHTED_VERSION = "1"


def _no_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) != len(items):
        raise ValueError("duplicate key")
    return found
