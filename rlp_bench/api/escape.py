"""Escapes text for the place it is printed in, one function per format; whatever a text says, it stays text.

Everything that this package did not write itself goes through them: outputs of models, fields of items, words of
servers, names of files, runs and methods, strings of recipes. Characters that are not seen (controls, marks of text
direction, tags) are made visible: ESC is ␛, U+202E is \\u202e.
"""

import html as _html
import json as _json
import math
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
"""Controls (C0, DEL, C1), line separators, marks of direction, invisible characters, lone surrogates, noncharacters."""
NUMBER = re.compile(r"\s*[-+]?(\d[\d,_]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*%?\s*")
FORMULA = re.compile(r"\s*['\"]?\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet computes."""
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "†": r"$\dagger$",
}  # fmt: skip


def visible(text: Any, keep: str = "") -> str:
    """The text with hidden characters, except those of `keep`, made visible: ␛ for ESC, \\u202e for U+202E."""
    return HIDDEN.sub(lambda found: found[0] if found[0] in keep else _shown(found[0]), str(text))


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def terminal(text: Any) -> str:
    """Text for a terminal or a plain-text file; keeps its lines and tabs."""
    return visible(str(text).replace("\r\n", "\n"), keep="\n\t")


def line(text: Any) -> str:
    """Text for one line of a terminal or log: a line break in it is ␊."""
    return visible(text)


def flat(text: Any) -> str:
    """The text on one line, without white space at its ends."""
    return visible(" ".join(str(text).split()))


def markdown(text: Any) -> str:
    """Text for GitHub's Markdown, on one line, in and outside tables: no markup, HTML, link, mention or math."""
    one = _html.escape(flat(text), quote=False)
    one = re.sub(r"([\\`*{}\[\]|~#@!$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", one)  # not the _ of a_b
    one = re.sub(r"(?i)(?<=www)\.|:(?=//)", r"\\\g<0>", one)  # an address becomes a link by itself
    if one != "-":  # an empty cell's
        one = re.sub(r"^([-+=])(?=[-+=\s]|$)", r"\\\1", one)  # a list or a rule
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", one)


def markdown_code(text: Any) -> str:
    """Text as inline code of Markdown, also within a table."""
    one = flat(text).replace("|", "\u2223")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", one)), default=0))
    space = " " if one.startswith("`") or one.endswith("`") else ""
    return f"{fence}{space}{one}{space}{fence}"


def csv(value: Any) -> Any:
    """A cell for `csv.writer`: numbers and None unchanged, what a spreadsheet would compute behind a quote mark."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    shown = visible(text)
    formula = FORMULA.match(text) and len(text.strip()) > 1 and not NUMBER.fullmatch(text)
    return f"'{shown}" if formula else shown


def latex(text: Any) -> str:
    """Text for a cell of a LaTeX table."""
    one = flat(text)
    shown = "".join(LATEX.get(character, character) for character in one)
    return "{}" + shown if one[:1] in ("[", "*") else shown  # after \\\\ these two are options of it


def xml(text: Any) -> str:
    """Text for XML 1.0, of which `ElementTree` escapes the rest; keeps its lines and tabs."""
    return terminal(text)


def html(text: Any) -> str:
    """Text for HTML, in an element or a quoted attribute; keeps its lines and tabs."""
    return _html.escape(terminal(text))


def json(value: Any, ascii_only: bool = False, indent: int | None = 1) -> str:
    """A JSON document: hidden characters escaped, null for NaN and infinities, text for values that JSON lacks."""
    text = _json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, default=str, allow_nan=False)
    return HIDDEN.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(found[0]), text)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _json_escape(character: str) -> str:
    """`\\u009b`; a pair for characters above U+FFFF, and for DEL, which `json.dumps` leaves as it is."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
