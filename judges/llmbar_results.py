"""LLMBar's result files as verdicts: {"input", "output_1", "output_2", "label", "results": [{"swap = False": ...}]}.

A result belongs to one order: "swap = False" showed output_1 first. `winner` is "1" or "2" as the data number them in
either order; None is no verdict; anything else ("tie") is a tie.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import Verdict

Shown = tuple[str, str, str]
"""(instruction, first answer, second answer) as they were shown."""
ORDERS = {"swap = False": False, "swap = True": True}


def is_llmbar(rows: Any) -> bool:
    """Whether a JSON document is such a file."""
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], Mapping) and "results" in rows[0]


def llmbar_verdicts(rows: Sequence[Mapping[str, Any]]) -> dict[Shown, Verdict]:
    """What was shown -> preference for the answer shown first."""
    found: dict[Shown, Verdict] = {}
    for row in rows:
        given = row["results"][0]
        for name, turned in ORDERS.items():
            outputs = (row["output_1"], row["output_2"])
            shown = (row["input"], *(outputs[::-1] if turned else outputs))
            found[shown] = _verdict(given.get(name, {}), turned)
    return found


def _verdict(result: Mapping[str, Any], turned: bool) -> Verdict:
    winner = result.get("winner")
    raw = str((result.get("completion") or [""])[0])
    if winner is None:
        return Verdict(None, "unparsed", raw)
    if winner not in ("1", "2", 1, 2):
        return Verdict(0.5, raw=raw)
    return Verdict(float((int(winner) == 1) != turned), raw=raw)
