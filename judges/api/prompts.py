"""Prompt files, filled in a single pass so that placeholders inside an answer are not replaced.

A file has a part after `[system]` (optional) and one after `[user]`. Placeholders: {question} (the instruction, and its
input after a blank line), {first}, {second}, and {fence}: 12 hex digits of a hash of the texts, which therefore occur
in none of them; delimiters made with it cannot be forged by an answer.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlp_bench.api import DataError, Pair, UnknownName, content_id, decode, merge_input, nearest, read_bytes

FOLDER = Path(__file__).parent.parent / "prompts"
NAMES = ("question", "first", "second", "fence")
NEEDED = {"question", "first", "second"}
PLACEHOLDER = re.compile(r"\{(" + "|".join(NAMES) + r")\}")
BRACED = re.compile(r"\{([a-z_0-9]+)\}")


@dataclass(frozen=True)
class Prompt:
    """A judge's prompt, and the hash of its file."""

    name: str
    system: str
    user: str
    sha256: str

    def messages(self, pair: Pair) -> tuple[tuple[str, str], ...]:
        """The messages sent to the judge, as (role, content)."""
        question = merge_input(pair.instruction, pair.input)
        values = {"question": question, "first": pair.first, "second": pair.second}
        values["fence"] = content_id("fence", *values.values())[:12]
        parts = [("system", self.system), ("user", self.user)]
        return tuple((role, fill(text, values)) for role, text in parts if text)


def fill(template: str, values: dict[str, str]) -> str:
    """The template with every placeholder replaced once; inserted texts are not searched for placeholders."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], template)


def load_prompt(name: str, where: str) -> Prompt:
    """A shipped prompt by its name, or one from a file.

    Raises:
        UnknownName: no such prompt or file.
        DataError: the file is not a valid prompt.
    """
    path = FOLDER / f"{name}.txt"
    if not re.fullmatch(r"[a-z0-9_]+", name) or not path.is_file():
        path = Path(name)
        if not path.is_file():
            known = [file.stem for file in FOLDER.glob("*.txt")]
            raise UnknownName(f'{where}: no prompt or file "{name}"; {nearest(name, known)}')
    return _read(path, path.stat().st_mtime_ns)


@cache
def _read(path: Path, changed: int) -> Prompt:
    data = read_bytes(path)
    try:
        text = decode(path, data, "text")
    except DataError:
        raise DataError(f'prompt "{path}": not text in UTF-8 or UTF-16; save it as UTF-8') from None
    head, mark, user = text.replace("\r\n", "\n").partition("[user]\n")
    system = head.partition("[system]\n")[2]
    if not mark or (head.strip() and not head.startswith("[system]\n")):
        raise DataError(
            f'prompt "{path}": expected a line [system] and its text, then a line [user] and its text'
        )
    placeholders = set(BRACED.findall(text))
    for name in sorted(placeholders - set(NAMES)):
        raise DataError(f'prompt "{path}": no placeholder {{{name}}}; {nearest(name, NAMES)}')
    lacking = sorted(NEEDED - set(PLACEHOLDER.findall(user)))
    if lacking:
        raise DataError(
            f'prompt "{path}": [user] lacks {", ".join(f"{{{name}}}" for name in lacking)}; add it'
        )
    sha256 = hashlib.sha256(data).hexdigest()
    return Prompt(path.stem, system.strip(), user.strip(), sha256)
