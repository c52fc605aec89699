"""The table: a row a method, a column a suite, an interval with every mean, who judged in the header."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlp_bench.api import DataError, UnknownName, nearest
from rlp_bench.statistics import Estimate

from ..ranks import Rank
from .collect import BASELINE, Board, Cell, Copied, Row, bring_together
from .markup import html_page, latex_table
from .values import as_csv, as_json


class Table:
    """Text, Markdown, CSV, LaTeX, JSON or HTML of the reports of one recipe."""

    name = "table"
    version = "2"

    def render(
        self, reports: Sequence[Mapping[str, Any]], format: str = "text", published: bool = False
    ) -> str:
        """The reports as text in one of FORMATS; `published`: the paper's rows beside ours, marked as copied.

        Raises:
            UnknownName: another format. DataError: no report, or reports that cannot be compared.
        """
        if format not in FORMATS:
            raise UnknownName(f'board "table": no format "{format}"; {nearest(format, FORMATS)}')
        if not reports:
            raise DataError("leaderboard: no report; `rlp-bench run --method sft` makes one")
        return FORMATS[format](bring_together(reports, published))


def _header(board: Board) -> list[str]:
    beside = ["length-controlled", *board.others, "longest", "KL", "tokens"]
    return ["method", "rank", "seeds", *board.suites, *_compared(board), *beside]


def _compared(board: Board) -> list[str]:
    """The column of differences, on the first suite; csv and json have those on the others."""
    return [
        f"{name} - {BASELINE}"
        for name in board.suites[:1]
        if any(row.cells[name].against for row in board.rows if name in row.cells)
    ]


def _cells(board: Board, row: Row) -> list[str]:
    first = row.cells.get(board.suites[0])
    return [
        row.method + ("*" if row.trained_on_judge else "") + ("†" if row.stand_in else ""),
        _rank(row.rank),
        _seeds(row.seeds),
        *(_rate(row.cells.get(name)) for name in board.suites),
        *(_against(row.cells.get(name.removesuffix(f" - {BASELINE}"))) for name in _compared(board)),
        "" if first is None or first.length_controlled is None else _interval(first.length_controlled),
        *(
            "" if first is None or name not in first.others else f"{100 * first.others[name]:.1f}"
            for name in board.others
        ),
        "" if first is None or first.longest is None else f"{100 * first.longest:.1f}",
        "" if row.kl is None else f"{row.kl:.2f}",
        "" if row.length_tokens is None else f"{row.length_tokens:.1f}",
    ]


def _copied(board: Board, row: Copied) -> list[str]:
    values = [f"{row.values[name]:.1f}" if name in row.values else "" for name in board.suites]
    return [f"{row.method} (copied)", "", "1 run", *values, *[""] * (len(_header(board)) - 3 - len(values))]


def _lines(board: Board) -> list[list[str]]:
    """Every row's cells: ours, then those that were copied."""
    return [*(_cells(board, row) for row in board.rows), *(_copied(board, row) for row in board.copied)]


def _rank(rank: Rank | None) -> str:
    """`1`, or `1-4` where up to three others may be better."""
    return "" if rank is None else str(rank.best) if rank.best == rank.worst else f"{rank.best}-{rank.worst}"


def _seeds(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} ({', '.join(map(str, seeds))})"


def _rate(cell: Cell | None) -> str:
    """`46.8 [43.3, 50.2] n 805/805`."""
    if cell is None:
        return ""
    return f"{_interval(cell.estimate)} n {cell.n_scored}/{cell.n_items}"


def _interval(e: Estimate) -> str:
    return f"{100 * e.mean:.1f} [{100 * e.low:.1f}, {100 * e.high:.1f}]"


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
    if any(row.rank for row in board.rows):
        lines.append(
            "rank: on the first suite, by intervals that hold for all rows at once; 2-5: one row is surely better, "
            "up to four may be"
        )
    if any(c.length_controlled for row in board.rows for c in row.cells.values()):
        lines.append(
            "length-controlled: win rate on the first suite at equal lengths, error by fitting again"
        )
    lines.append(
        "longest: win rate on the first suite if the longer answer always won; a constant judge gives 50"
    )
    if board.others:
        lines.append(f"{', '.join(board.others)}: win rate on the first suite by other judges")
    if _compared(board):
        lines.append(
            f"- {BASELINE}: paired by item and seed, p after Holm over all suites' differences (csv, json)"
        )
    if any(len(row.seeds) == 1 for row in board.rows):
        lines.append("one seed: the interval covers items, not what another seed would give")
    if any(row.trained_on_judge for row in board.rows):
        lines.append(
            "*: trained on labels of the judge that evaluates it (same population, with label noise)"
        )
    if any(row.stand_in for row in board.rows):
        lines.append("†: a stage stands in for what its name says (`rlp-bench show trainer rlaif`)")
    if any(row.control for row in board.rows):
        lines.append(f"controls first: {', '.join(row.method for row in board.rows if row.control)}")
    if board.copied:
        lines.append(
            f"(copied): printed in {board.source}, other data and judge, one run, no interval; in no test and no rank"
        )
    return lines


def _evidence(board: Board, name: str) -> str:
    return f" ({board.notes[name]})" if name in board.notes else ""


def _markdown(board: Board) -> str:
    header = _header(board)
    lines = [f"{line}  " for line in _captions(board)] + [""]
    lines += [_line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    lines += [_line(cells) for cells in _lines(board)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(board: Board) -> str:
    rows = [_header(board), *_lines(board)]
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


def _latex(board: Board) -> str:
    return latex_table(_captions(board), _header(board), _lines(board))


def _html(board: Board) -> str:
    return html_page(f"Leaderboard of {board.recipe}", _captions(board), _header(board), _lines(board))


FORMATS: dict[str, Callable[[Board], str]] = {
    "text": _text,
    "md": _markdown,
    "markdown": _markdown,
    "csv": as_csv,
    "latex": _latex,
    "json": as_json,
    "html": _html,
}
