"""Descriptions of installed methods, for tables and reports."""

import inspect
from typing import Any

from rlp_bench.api import registry


def about(method: str) -> dict[str, Any]:
    """A method's description {"text", "source", "control"}; placeholders if it is not installed."""
    if method not in registry.names("method"):
        return {"text": "", "source": "not installed here", "control": False}
    made = registry.load("method", method)
    source = str(getattr(made, "source", ""))
    text = (inspect.getdoc(made) or "").partition("\n")[0]
    return {"text": text, "source": source, "control": source.startswith("control")}
