"""Finds files that may be gzipped."""

from pathlib import Path


def find_file(path: Path) -> Path | None:
    """The file, or the same with .gz appended; None if neither exists."""
    return next((each for each in (path, path.with_name(f"{path.name}.gz")) if each.is_file()), None)
