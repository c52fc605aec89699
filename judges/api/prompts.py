"""Prompt files, and filling them in a single pass: what looks like a placeholder in an answer stays text.

A file has a part after `[system]` (may be absent) and one after `[user]`. Placeholders: {question} (the
instruction, its input after a blank line), {first}, {second}, and {fence}: 12 hex digits that hang on the texts
and so stand in none of them; marks built with it cannot be forged by an answer.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlp_bench.api import DataError, Pair, UnknownName, content_id, merge_input, nearest

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
        """(role, content) of what the judge is sent."""
        question = merge_input(pair.instruction, pair.input)
        values = {"question": question, "first": pair.first, "second": pair.second}
        values["fence"] = content_id("fence", *values.values())[:12]
        parts = [("system", self.system), ("user", self.user)]
        return tuple((role, fill(text, values)) for role, text in parts if text)


def fill(template: str, values: dict[str, str]) -> str:
    """The template with every placeholder replaced once; what was put in is not looked at again."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], template)


def load_prompt(name: str, where: str) -> Prompt:
    """A shipped prompt by its name, or a file.

    Raises:
        UnknownName: neither; DataError: the file is no prompt.
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
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f'prompt "{path}": is not text in UTF-8') from None
    head, mark, user = text.replace("\r\n", "\n").partition("[user]\n")
    system = head.partition("[system]\n")[2]
    if not mark or (head.strip() and not head.startswith("[system]\n")):
        raise DataError(
            f'prompt "{path}": expected a line [system] and its text, then a line [user] and its text'
        )
    there = set(BRACED.findall(text))
    for name in sorted(there - set(NAMES)):
        raise DataError(f'prompt "{path}": no placeholder {{{name}}}; {nearest(name, NAMES)}')
    lacking = sorted(NEEDED - set(PLACEHOLDER.findall(user)))
    if lacking:
        raise DataError(f'prompt "{path}": [user] lacks {", ".join(f"{{{name}}}" for name in lacking)}')
    sha256 = hashlib.sha256(data).hexdigest()
    return Prompt(path.stem, system.strip(), user.strip(), sha256)
