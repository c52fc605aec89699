"""The table as plain numbers, percent: one record a method and suite, ours and those that were copied."""

import csv
import io
import json
import math
from typing import Any

from .collect import Board, Cell, Copied, Row


def as_csv(board: Board) -> str:
    """One line a method and suite, plain numbers in percent."""
    out = io.StringIO()
    rows = list(_flat(board))
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_json(board: Board) -> str:
    """The recipe, how each suite was measured, and the same records."""
    whole = {"recipe": board.recipe, "suites": dict(board.judges), "rows": _flat(board)}
    return json.dumps(whole, indent=1) + "\n"


def _flat(board: Board) -> list[dict[str, Any]]:
    rows = [_values(board, row, name, cell) for row in board.rows for name, cell in row.cells.items()]
    empty = dict.fromkeys(rows[0])
    return [*rows, *({**empty, **values} for row in board.copied for values in _copied(board, row))]


def _copied(board: Board, row: Copied) -> list[dict[str, Any]]:
    return [
        {
            "method": row.method,
            "provenance": "copied",
            "measured": board.source,
            "suite": suite,
            "mean": value,
        }
        for suite, value in row.values.items()
    ]


def _values(board: Board, row: Row, name: str, cell: Cell) -> dict[str, Any]:
    e, d, lc = cell.estimate, cell.against, cell.length_controlled
    first = name == board.suites[0]
    return {
        "recipe": board.recipe,
        "method": row.method,
        "provenance": "rerun",
        "control": row.control,
        "rank": None if row.rank is None or not first else row.rank.best,
        "rank_worst": None if row.rank is None or not first else row.rank.worst,
        "seeds": len(row.seeds),
        "suite": name,
        "mean": 100 * e.mean,
        "standard_error": None if math.isnan(e.se) else 100 * e.se,
        "low": 100 * e.low,
        "high": 100 * e.high,
        "n_items": cell.n_items,
        "n_scored": cell.n_scored,
        "difference": None if d is None else 100 * d.mean,
        "difference_low": None if d is None else 100 * d.low,
        "difference_high": None if d is None else 100 * d.high,
        "detectable": None if d is None else 100 * d.detectable,
        "p": None if d is None else d.p,
        "p_holm": cell.p_holm,
        "length_controlled": None if lc is None else 100 * lc.mean,
        "length_controlled_error": None if lc is None else 100 * lc.se,
        **{f"by_{one}": 100 * cell.others[one] if one in cell.others else None for one in board.others},
        "longest": None if cell.longest is None else 100 * cell.longest,
        "kl": row.kl,
        "length_tokens": row.length_tokens,
        "measured": board.judges[name],
        "evidence": board.notes.get(name, ""),
        "trained_on_judge": row.trained_on_judge,
    }
