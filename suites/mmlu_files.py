"""Reads MMLU's CSV files without changing their text, and compares them with the published content."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlp_bench.api import DataError, RowFault, cells_of, read_bytes
from rlp_bench.api import Rows as FileRows

CELLS = 6
"""Number of cells per row: question, four options, the right letter; no header row."""
EXPECTED = "question, four options and one of A, B, C, D"


@dataclass(frozen=True)
class Published:
    """Published content of one of the 57 subjects."""

    category: str
    """Category in Hendrycks et al."""
    questions: int
    content: str
    """First 16 hex digits of the sha256 over dev and test cells, in order."""


@dataclass(frozen=True)
class Rows:
    """Rows of one subject's files."""

    dev: FileRows[list[str]]
    test: FileRows[list[str]]
    published: bool


@cache
def published_subjects() -> dict[str, Published]:
    """The 57 subjects (14,042 test questions) by name."""
    text = Path(__file__).with_name("mmlu_subjects.txt").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: Published(category, int(count), content) for name, category, count, content in rows}


def subjects_in(folder: Path) -> list[str]:
    """The subjects with a test file, sorted.

    Raises:
        DataError: there are none.
    """
    names = {path.name.partition("_test.csv")[0] for path in (folder / "test").glob("*_test.csv*")}
    if not names:
        raise DataError(
            f'suite "mmlu": "{folder}" has no test/SUBJECT_test.csv; give the folder of the Hendrycks tar, with dev/ '
            "and test/"
        )
    return sorted(names)


def read_subject(
    folder: Path, name: str, shots: int, known: Published | None, *, must_be_published: bool
) -> Rows:
    """The rows of one subject.

    Raises:
        DataError: a file is missing or invalid, there are too few examples, or the rows are not the published ones
            and `must_be_published` is set.
    """
    dev, test = (_read(_find(folder, split, name)) for split in ("dev", "test"))
    if len(dev) < shots:
        raise DataError(f'"{folder}/dev/{name}_dev.csv": {len(dev)} examples; expected at least {shots}')
    published = known is not None and content_hash(dev, test) == known.content
    if must_be_published and known is not None and not published:
        raise DataError(
            f'"{folder}": {len(test)} questions of {name} that are not the published {known.questions} with their '
            "examples; download MMLU again, or remove other subjects from the folder to use your own questions"
        )
    return Rows(dev, test, published)


def content_hash(dev: Sequence[list[str]], test: Sequence[list[str]]) -> str:
    """The hash in `Published.content`."""
    text = "\x1d".join("\x1e".join("\x1f".join(cells) for cells in rows) for rows in (dev, test))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _find(folder: Path, split: str, name: str) -> Path:
    plain = folder / split / f"{name}_{split}.csv"
    return plain if plain.exists() else plain.with_name(f"{plain.name}.gz")


def _read(path: Path) -> FileRows[list[str]]:
    """The rows as text: "None" and "NA" are words, not missing values."""
    lines = cells_of(path, read_bytes(path), f"CSV rows of {EXPECTED}")
    return FileRows(path, EXPECTED, list(enumerate(lines, 1)), []).read(_checked)


def _checked(cells: list[str]) -> list[str]:
    if len(cells) != CELLS or cells[-1] not in ("A", "B", "C", "D"):
        raise RowFault(f'{len(cells)} cells, last "{cells[-1][:20]}"')
    return cells
