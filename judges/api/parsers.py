"""What a judge's words mean: a preference for the first answer in [0, 1], or None, which is no verdict.

Strict on purpose: a verdict is where the prompt asked for it and nowhere else, and two verdicts are none. A
parser sees the judge's words only, never the answers. Raise a parser's version when it reads a text otherwise.
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
RATING = re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]")
LEAST_MASS = 0.5
"""Probability that the two labels must have between them; below it the judge did not answer. Ours."""


def letter(text: str) -> float | None:
    """The whole reply is A or B, whatever quotes, brackets or stop stand around it."""
    return SIDES.get(text.strip(MARKS)) if len(text) < 100 else None


def verdict_line(text: str) -> float | None:
    """The last line is `Verdict: A` or `Verdict: B`, and no other line begins so."""
    found = list(VERDICT_LINE.finditer(text))
    if len(found) != 1 or text[found[0].end() :].strip():
        return None
    return SIDES.get(found[0]["side"].strip(MARKS))


def json_winner(text: str) -> float | None:
    """One JSON object, bare or fenced, with `"winner": "A"` or `"B"`; a key given twice is no verdict."""
    fenced = FENCED.fullmatch(text)
    try:
        found = json.loads(fenced[1] if fenced else text, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError):
        return None
    winner = found.get("winner") if isinstance(found, dict) else None
    return SIDES.get(winner) if isinstance(winner, str) else None


def double_brackets(text: str) -> float | None:
    """`[[A]]`, `[[B]]`, or `[[C]]` for a tie, as in MT-Bench; different ones in one reply are no verdict.

    Departs: FastChat takes [[A]] wherever it stands, also where the reply goes on to say [[B]].
    """
    found = set(BRACKETED.findall(text))
    return {"A": 1.0, "B": 0.0, "C": 0.5}[found.pop()] if len(found) == 1 else None


def rating(text: str) -> float | None:
    """MT-Bench's single-answer score: the first `[[5]]`, else the first `[5]`; None where FastChat has -1.

    Source: FastChat, llm_judge/common.py, one_score_pattern and one_score_pattern_backup.
    """
    found = RATING[0].search(text) or RATING[1].search(text)
    return float(found[1]) if found else None


def weighted(first_token: Mapping[str, float] | None, labels: tuple[str, str] = ("A", "B")) -> float | None:
    """p(first) / (p(first) + p(second)) from log-probabilities (nats) of the reply's first token.

    Source: AlpacaEval 2, logprob_parser (there 2 - p(m) / (p(m) + p(M)), m shown first). Departs: "A", " A" and
    "\\nA" count as one label; where the two have less than half of the probability there is no verdict.
    """
    if not first_token:
        return None
    mass = label_mass(first_token, labels)
    total = sum(mass)
    return mass[0] / total if total >= LEAST_MASS else None


def label_mass(first_token: Mapping[str, float], labels: tuple[str, str] = ("A", "B")) -> tuple[float, float]:
    """Probability of each label, its spellings with white space included; one that is not listed has 0."""
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
        raise ValueError("a key twice")
    return found
