"""The table: a row a method, a column a suite, an interval with every mean, who judged in the header."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlp_bench.errors import DataError, UnknownName, nearest

from .rows import BASELINE, Board, Cell, Row, bring_together


class Table:
    """Markdown, CSV, JSON or plain text of the reports of one recipe."""

    name = "table"
    version = "1"

    def render(self, reports: Sequence[Mapping[str, Any]], format: str = "text") -> str:
        """The reports as text in one of FORMATS.

        Raises:
            UnknownName: another format. DataError: no report, or reports that cannot be compared.
        """
        if format not in FORMATS:
            raise UnknownName(f'board "table": no format "{format}"; {nearest(format, FORMATS)}')
        if not reports:
            raise DataError("leaderboard: no report; `rlp-bench run --method sft` makes one")
        return FORMATS[format](bring_together(reports))


def _header(board: Board) -> list[str]:
    return ["method", "seeds", *board.suites, *_compared(board), *_others(board), "longest", "KL", "tokens"]


def _compared(board: Board) -> list[str]:
    """Columns of differences: the suites on which somebody shares items with the baseline."""
    return [
        f"{name} - {BASELINE}"
        for name in board.suites
        if any(row.cells[name].against for row in board.rows if name in row.cells)
    ]


def _others(board: Board) -> list[str]:
    """The second judges of the first suite."""
    first = [row.cells[board.suites[0]] for row in board.rows if board.suites[0] in row.cells]
    return list(dict.fromkeys(name for cell in first for name in cell.others))


def _cells(board: Board, row: Row) -> list[str]:
    first = row.cells.get(board.suites[0])
    return [
        row.method + ("*" if row.trained_on_judge else "") + ("†" if row.stand_in else ""),
        _seeds(row.seeds),
        *(_rate(row.cells.get(name)) for name in board.suites),
        *(_against(row.cells.get(name.removesuffix(f" - {BASELINE}"))) for name in _compared(board)),
        *(
            "" if first is None or name not in first.others else f"{100 * first.others[name]:.1f}"
            for name in _others(board)
        ),
        "" if first is None or first.longest is None else f"{100 * first.longest:.1f}",
        "" if row.kl is None else f"{row.kl:.2f}",
        "" if row.length_tokens is None else f"{row.length_tokens:.1f}",
    ]


def _seeds(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} ({', '.join(map(str, seeds))})"


def _rate(cell: Cell | None) -> str:
    """`46.8 [43.3, 50.2] n 805/805`."""
    if cell is None:
        return ""
    e = cell.estimate
    return f"{100 * e.mean:.1f} [{100 * e.low:.1f}, {100 * e.high:.1f}] n {cell.n_scored}/{cell.n_items}"


def _against(cell: Cell | None) -> str:
    """`+3.1 [0.2, 6.0] p .04`; p corrected after Holm."""
    if cell is None or cell.against is None or cell.p_holm is None:
        return ""
    d = cell.against
    p = "p < .001" if cell.p_holm < 0.001 else f"p {cell.p_holm:.3f}"
    return f"{100 * d.mean:+.1f} [{100 * d.low:.1f}, {100 * d.high:.1f}] {p}"


def _captions(board: Board) -> list[str]:
    lines = [f"recipe {board.recipe}; percent, mean over seeds with 95 % interval over seeds and items"]
    lines += [f"{name}: {how}" + _evidence(board, name) for name, how in board.judges.items() if how]
    lines.append(
        "longest: win rate on the first suite if the longer answer always won; a constant judge gives 50"
    )
    if _others(board):
        lines.append(f"{', '.join(_others(board))}: win rate on the first suite by other judges")
    if _compared(board):
        lines.append(f"- {BASELINE}: paired by item and seed, p after Holm over all differences of the table")
    if any(len(row.seeds) == 1 for row in board.rows):
        lines.append("one seed: the interval covers items, not what another seed would give")
    if any(row.trained_on_judge for row in board.rows):
        lines.append(
            "*: trained on labels of the judge that evaluates it (same population, with label noise)"
        )
    if any(row.stand_in for row in board.rows):
        lines.append("†: a stage stands in for what its name says (`rlp-bench show trainer rlaif`)")
    return lines


def _evidence(board: Board, name: str) -> str:
    return f" ({board.notes[name]})" if name in board.notes else ""


def _markdown(board: Board) -> str:
    header = _header(board)
    lines = [f"{line}  " for line in _captions(board)] + [""]
    lines += [_line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    lines += [_line(_cells(board, row)) for row in board.rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(board: Board) -> str:
    rows = [_header(board), *(_cells(board, row) for row in board.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    return (
        "\n".join([*_captions(board), "", lines[0].rstrip(), rule, *(line.rstrip() for line in lines[1:])])
        + "\n"
    )


def _csv(board: Board) -> str:
    """One line a method and suite, plain numbers in percent."""
    out = io.StringIO()
    rows = list(_flat(board))
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _json(board: Board) -> str:
    return (
        json.dumps(
            {"recipe": board.recipe, "suites": dict(board.judges), "rows": list(_flat(board))}, indent=1
        )
        + "\n"
    )


def _flat(board: Board) -> list[dict[str, Any]]:
    return [_values(board, row, name, cell) for row in board.rows for name, cell in row.cells.items()]


def _values(board: Board, row: Row, name: str, cell: Cell) -> dict[str, Any]:
    e, d = cell.estimate, cell.against
    return {
        "recipe": board.recipe,
        "method": row.method,
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
        **{f"by_{name}": 100 * cell.others[name] if name in cell.others else None for name in _others(board)},
        "longest": None if cell.longest is None else 100 * cell.longest,
        "kl": row.kl,
        "length_tokens": row.length_tokens,
        "measured": board.judges[name],
        "evidence": board.notes.get(name, ""),
        "trained_on_judge": row.trained_on_judge,
    }


FORMATS: dict[str, Callable[[Board], str]] = {
    "text": _text,
    "md": _markdown,
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
}
