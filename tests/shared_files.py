"""Where data that cannot be distributed lie: a folder `shared` beside the checkout or above it."""

from pathlib import Path


def shared(name: str) -> Path:
    """The file or folder `shared/NAME` that is nearest above; where there is none, where it would lie."""
    above = Path(__file__).resolve().parents[2:]
    found = [folder / "shared" / name for folder in above if (folder / "shared" / name).exists()]
    return found[0] if found else above[0] / "shared" / name
