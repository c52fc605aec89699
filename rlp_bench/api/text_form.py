"""When two texts are the same but for white space and Unicode form, and where they differ.

Canonical equivalence (NFC) says that two code sequences are one text, so it joins. Compatibility equivalence (NFKC)
changes meaning (x² and x2), so it does not: it is only named in messages.
"""

import re
import unicodedata

SPACES = re.compile(r"[^\S\n]")
"""Any white space but a line end: tabs, and the no-break and thin spaces that editors put in."""
CONTEXT = 20
"""Characters shown on each side of a difference."""


def text_form(text: str) -> str:
    """A text in NFC with line ends as "\\n", every other white space as a space, and none at the ends of lines or text.

    Indentation and blank lines are kept: they have meaning in programs and tables.
    """
    lines = (
        unicodedata.normalize("NFC", text.strip("\ufeff"))
        .replace("\r\n", "\n")
        .replace("\r", "\n")
        .split("\n")
    )
    return "\n".join(SPACES.sub(" ", line).rstrip() for line in lines).strip()


def loose_form(text: str) -> str:
    """A text in NFKC without case and amount of white space, to find what another text was meant to be."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def difference(given: str, expected: str) -> str:
    r"""`given "... x\u00a0y", expected "... x y"`: both around their first difference, in ASCII."""
    place = next(
        (n for n, (a, b) in enumerate(zip(given, expected, strict=False)) if a != b),
        min(len(given), len(expected)),
    )
    return f"given {_around(given, place)}, expected {_around(expected, place)}"


def _around(text: str, place: int) -> str:
    start, end = max(0, place - CONTEXT), place + CONTEXT
    shown = text[start:end].encode("unicode_escape").decode("ascii")
    return f'"{"..." if start else ""}{shown}{"..." if end < len(text) else ""}"'
