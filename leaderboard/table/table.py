"""The leaderboard table: one row per method, one column per suite, every mean with an interval."""

import csv
import io
from collections.abc import Callable, Sequence

from rlp_bench.api import DataError, Report, UnknownName, escape, nearest

from .collect import Board, bring_together
from .columns import captions, header, lines, records
from .markup import html_page, latex_table


class Table:
    """Renders the reports of one recipe as text, Markdown, CSV, LaTeX, JSON or HTML."""

    name = "table"
    version = "2"

    def render(self, reports: Sequence[Report], format: str = "text", published: bool = False) -> str:
        """The reports in one of FORMATS.

        Args:
            published: whether to add the paper's rows, marked as copied.

        Raises:
            UnknownName: another format.
            DataError: no reports, or reports that are not comparable.
        """
        if format not in FORMATS:
            raise UnknownName(f'board "table": no format "{format}"; {nearest(format, FORMATS)}')
        if not reports:
            raise DataError(
                "leaderboard: no reports; expected at least one; `rlp-bench run --method sft` makes one"
            )
        return FORMATS[format](bring_together(reports, published))


def _markdown(board: Board) -> str:
    head = header(board)
    found = [f"{escape.markdown(line)}  " for line in captions(board)] + [""]
    found += [_line(head), f"| {' | '.join(['---', *['---:'] * (len(head) - 1)])} |"]
    found += [_line(cells) for cells in lines(board)]
    return "\n".join(found) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(escape.markdown, cells)) + " |"


def _text(board: Board) -> str:
    rows = [[escape.line(cell) for cell in row] for row in (header(board), *lines(board))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    found = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    body = [found[0].rstrip(), rule, *(line.rstrip() for line in found[1:])]
    return "\n".join([*map(escape.line, captions(board)), "", *body]) + "\n"


def _latex(board: Board) -> str:
    return latex_table(captions(board), header(board), lines(board))


def _html(board: Board) -> str:
    return html_page(f"Leaderboard of {board.recipe}", captions(board), header(board), lines(board))


def _csv(board: Board) -> str:
    """One line per method and suite, plain numbers in percent."""
    out = io.StringIO()
    rows = records(board)
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writerow({name: escape.csv(name) for name in rows[0]})
    writer.writerows({name: escape.csv(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _json(board: Board) -> str:
    """The recipe, how each suite was measured, and the same records."""
    whole = {"recipe": board.recipe, "suites": dict(board.judges), "rows": records(board)}
    return escape.json(whole) + "\n"


FORMATS: dict[str, Callable[[Board], str]] = {
    "text": _text,
    "md": _markdown,
    "markdown": _markdown,
    "csv": _csv,
    "latex": _latex,
    "json": _json,
    "html": _html,
}
