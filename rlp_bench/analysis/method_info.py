"""What an installed method says of itself: for tables and reports."""

import inspect
from typing import Any

from rlp_bench.api import registry


def about(method: str) -> dict[str, Any]:
    """What a method says of itself: {"text", "source", "control"}; all empty where it is not installed any more."""
    if method not in registry.names("method"):
        return {"text": "", "source": "not installed here", "control": False}
    made = registry.load("method", method)
    source = str(getattr(made, "source", ""))
    text = (inspect.getdoc(made) or "").partition("\n")[0]
    return {"text": text, "source": source, "control": source.startswith("control")}
