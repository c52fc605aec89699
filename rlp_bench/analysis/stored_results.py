"""Writes and reads results.json: the per-item data of all tables and tests of a results document."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.analysis.item_scores import ByMethod, items_of
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import write_text
from rlp_bench.api.seals import read_sealed, with_seal

VERSION = 2
UNITS = (1, 2, 26, 52, 100, 1000, 10_000)
"""Scores are stored as integer multiples of 1/unit, with the first unit that is exact, else the last."""
MISSING = "-"


def pack(table: ByMethod) -> dict[str, Any]:
    """{"unit", "items", "scores": method -> seed -> one number per item, MISSING if there is no score}."""
    items = items_of(table)
    values = {v for seeds in table.values() for scores in seeds.values() for v in scores.values()}
    unit = next((u for u in UNITS if all(abs(v * u - round(v * u)) < 1e-9 for v in values)), UNITS[-1])

    def line(scores: Mapping[str, float]) -> str:
        return " ".join(str(round(scores[i] * unit)) if i in scores else MISSING for i in items)

    rows = {m: {str(s): line(scores) for s, scores in seeds.items()} for m, seeds in table.items()}
    return {"unit": unit, "items": " ".join(items), "scores": rows}


def unpack(packed: Mapping[str, Any]) -> ByMethod:
    """The inverse of `pack`; scores that no unit represents exactly are accurate to 1e-4."""
    items, unit = packed["items"].split(), packed["unit"]
    return {
        method: {
            int(seed): {
                item: int(word) / unit
                for item, word in zip(items, line.split(), strict=True)
                if word != MISSING
            }
            for seed, line in seeds.items()
        }
        for method, seeds in packed["scores"].items()
    }


def write_stored(path: Path, gathered: Mapping[str, Any], claims: Sequence[Mapping[str, Any]]) -> None:
    """Writes the result of `matrix_results.gather` and the judged claims as JSON."""
    document = {
        "results_version": VERSION,
        "claims": claims,
        **gathered,
        "tables": {name: pack(table) for name, table in gathered["tables"].items()},
        "subsets": {name: " ".join(items) for name, items in gathered["subsets"].items()},
    }
    text = json.dumps(with_seal(_finite(document)), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_stored(path: Path) -> dict[str, Any]:
    """The argument of `matrix_results.analyze`, from a file written by `write_stored`.

    Raises:
        DataError: the file is not readable JSON, or has no item scores.
    """
    try:
        found = read_sealed(path, f'results "{path}"', "`rlp-bench report results` writes one")
    except FileNotFoundError:
        raise DataError(f'results "{path}": no such file; `rlp-bench report results` writes one') from None
    if found.get("results_version") != VERSION:
        raise DataError(
            f'results "{path}": holds no item scores (expected results_version {VERSION}); '
            "`rlp-bench report results` writes them from the runs"
        )
    del found["results_version"], found["claims"]
    found["tables"] = {name: unpack(table) for name, table in found["tables"].items()}
    found["subsets"] = {name: items.split() for name, items in found["subsets"].items()}
    return dict(found)


def _finite(value: Any) -> Any:
    """The value with None for NaN and infinities, and with all dict keys as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inside) for inside in value]
    return value
