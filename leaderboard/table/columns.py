"""The columns of the leaderboard, from which all formats are rendered.

Text, Markdown, LaTeX and HTML have one line per method (`of_row`, `of_copied`); CSV and JSON have one record per method
and suite, with plain numbers in percent (`numbers`, `copied_numbers`). A new column is one entry of COLUMNS.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlp_bench.statistics import Estimate

from ..ranks import Rank
from .collect import BASELINE, Board, Cell, Copied, Row

LAST = 100
Numbers = Mapping[str, Any]


def single_column(board: Board) -> Sequence[str]:
    """The keys of a single column."""
    return ("",)


def empty_cell(board: Board, row: Any, key: str) -> str:
    """An empty cell."""
    return ""


def no_caption(board: Board) -> Sequence[str]:
    """No caption."""
    return ()


def no_numbers(board: Board, row: Any, suite: str) -> Numbers:
    """No values in CSV and JSON."""
    return {}


@dataclass(frozen=True)
class Column:
    """A column, or several of the same type (`over`). The first argument of all functions is the board."""

    name: str
    """Its header, with {} for the key of each of several; "" for values that only CSV and JSON have."""
    of_row: Callable[[Board, Row, str], str] = empty_cell
    """(a method's row, key) -> cell."""
    of_copied: Callable[[Board, Copied, str], str] = empty_cell
    """(a published row, key) -> cell."""
    caption: Callable[[Board], Sequence[str]] = no_caption
    """Lines above the table that explain the column."""
    numbers: Callable[[Board, Row, str], Numbers] = no_numbers
    """(a method's row, suite) -> name in CSV and JSON -> value."""
    copied_numbers: Callable[[Board, Copied, str], Numbers] = no_numbers
    """(a published row, suite) -> name -> value, with names from those of `numbers`."""
    over: Callable[[Board], Sequence[str]] = single_column
    """One column for each of these keys."""
    place: int = LAST
    """Sort key of the caption; ties are in column order."""


def header(board: Board) -> list[str]:
    """The printed columns' names."""
    return [column.name.format(key) for column, key in printed(board)]


def lines(board: Board) -> list[list[str]]:
    """The printed cells of every row: ours, then the copied ones."""
    columns = printed(board)
    ours = [[column.of_row(board, row, key) for column, key in columns] for row in board.rows]
    return [*ours, *([column.of_copied(board, row, key) for column, key in columns] for row in board.copied)]


def printed(board: Board) -> list[tuple[Column, str]]:
    """The columns of this board, each with its key."""
    return [(column, key) for column in COLUMNS if column.name for key in column.over(board)]


def captions(board: Board) -> list[str]:
    """The lines above the table."""
    ordered = sorted(COLUMNS, key=lambda column: column.place)
    return [*(line for column in ordered for line in column.caption(board)), *_copied_caption(board)]


def records(board: Board) -> list[dict[str, Any]]:
    """One record per method and suite; records of copied rows have the same names."""
    ours = [_record(column.numbers(board, row, suite) for column in COLUMNS)
            for row in board.rows for suite in row.cells]  # fmt: skip
    empty = dict.fromkeys(ours[0])
    copied = [_record(column.copied_numbers(board, row, suite) for column in COLUMNS)
              for row in board.copied for suite in row.values]  # fmt: skip
    return [*ours, *({**empty, **record} for record in copied)]


def _record(parts: Any) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


# --- Identity of a row ----------------------------------------------------------------------------------


def _method(board: Board, row: Row, key: str) -> str:
    return row.method + ("*" if row.trained_on_judge else "") + ("†" if row.stand_in else "")


def _method_numbers(board: Board, row: Row, suite: str) -> Numbers:
    return {"method": row.method, "provenance": "rerun", "control": row.control}


def _stand_ins(board: Board) -> Sequence[str]:
    found = []
    if any(row.trained_on_judge for row in board.rows):
        found.append(
            "*: trained on labels of the judge that evaluates it (same population, with label noise)"
        )
    if any(row.stand_in for row in board.rows):
        found.append(
            "†: a stage is a stand-in for the algorithm it is named after (`rlp-bench show trainer rlaif`)"
        )
    if any(row.control for row in board.rows):
        found.append(f"controls first: {', '.join(row.method for row in board.rows if row.control)}")
    return found


def _rank(board: Board, row: Row, key: str) -> str:
    """`1`, or `1-4` if up to three others may be better."""
    rank = row.rank
    return "" if rank is None else str(rank.best) if rank.best == rank.worst else f"{rank.best}-{rank.worst}"


def _rank_numbers(board: Board, row: Row, suite: str) -> Numbers:
    rank: Rank | None = row.rank if suite == board.suites[0] else None
    return {"rank": rank and rank.best, "rank_worst": rank and rank.worst}


def _rank_caption(board: Board) -> Sequence[str]:
    if not any(row.rank for row in board.rows):
        return ()
    return (
        "rank: on the first suite, by simultaneous intervals of all rows; 2-5: one row is significantly better, "
        "up to four may be",
    )


def _seeds(board: Board, row: Row, key: str) -> str:
    return f"{len(row.seeds)} ({', '.join(map(str, row.seeds))})"


def _seeds_caption(board: Board) -> Sequence[str]:
    single = any(len(row.seeds) == 1 for row in board.rows)
    return ("one seed: the interval covers variation over items, not over seeds",) if single else ()


# --- Results on a suite ---------------------------------------------------------------------------------


def _recipe_caption(board: Board) -> Sequence[str]:
    measured = [
        f"{name}: {how}" + (f" ({board.notes[name]})" if name in board.notes else "")
        for name, how in board.judges.items()
        if how
    ]
    return [
        f"recipe {board.recipe}; percent, mean over seeds with 95 % interval over seeds and items",
        *measured,
    ]


def _rate(board: Board, row: Row, key: str) -> str:
    """`46.8 [43.3, 50.2] n 805/805`."""
    cell = row.cells.get(key)
    return "" if cell is None else f"{_interval(cell.estimate)} n {cell.n_scored}/{cell.n_items}"


def _rate_copied(board: Board, row: Copied, key: str) -> str:
    return f"{row.values[key]:.1f}" if key in row.values else ""


def _rate_numbers(board: Board, row: Row, suite: str) -> Numbers:
    cell = row.cells[suite]
    e = cell.estimate
    return {
        "suite": suite,
        "mean": 100 * e.mean,
        "standard_error": None if math.isnan(e.se) else 100 * e.se,
        "low": 100 * e.low,
        "high": 100 * e.high,
        "n_items": cell.n_items,
        "n_scored": cell.n_scored,
    }


def _interval(e: Estimate) -> str:
    return f"{100 * e.mean:.1f} [{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _compared(board: Board) -> Sequence[str]:
    """The suites whose differences are printed: the first; CSV and JSON have those on all suites."""
    return [
        name
        for name in board.suites[:1]
        if any(row.cells[name].against for row in board.rows if name in row.cells)
    ]


def _difference(board: Board, row: Row, key: str) -> str:
    """`+3.1 [0.2, 6.0] p .04`; p corrected by Holm."""
    cell = row.cells.get(key)
    if cell is None or cell.against is None or cell.p_holm is None:
        return ""
    d = cell.against
    p = "p < .001" if cell.p_holm < 0.001 else f"p {cell.p_holm:.3f}"
    return f"{100 * d.mean:+.1f} [{100 * d.low:.1f}, {100 * d.high:.1f}] {p}"


def _difference_numbers(board: Board, row: Row, suite: str) -> Numbers:
    cell = row.cells[suite]
    d = cell.against
    return {
        "difference": None if d is None else 100 * d.mean,
        "difference_low": None if d is None else 100 * d.low,
        "difference_high": None if d is None else 100 * d.high,
        "detectable": None if d is None else 100 * d.detectable(cell.level),
        "p": None if d is None else d.p,
        "p_holm": cell.p_holm,
    }


def _difference_caption(board: Board) -> Sequence[str]:
    text = f"- {BASELINE}: paired by item and seed, p corrected by Holm over all suites (csv, json)"
    return (text,) if _compared(board) else ()


# --- Further results on the first suite -----------------------------------------------------------------


def _first(board: Board, row: Row) -> Cell | None:
    return row.cells.get(board.suites[0])


def _controlled_kind(board: Board) -> Sequence[str]:
    """` (approximate)`: the kind of the rates, for the column's name."""
    kind, _ = board.length_control[board.suites[0]]
    return (f" ({kind})" if kind else "",)


def _controlled(board: Board, row: Row, key: str) -> str:
    cell = _first(board, row)
    return "" if cell is None or cell.length_controlled is None else _interval(cell.length_controlled)


def _controlled_numbers(board: Board, row: Row, suite: str) -> Numbers:
    found = row.cells[suite].length_controlled
    return {
        "length_controlled": None if found is None else 100 * found.mean,
        "length_controlled_error": None if found is None else 100 * found.se,
        "length_controlled_kind": None if found is None else board.length_control[suite][0],
        "length_controlled_error_unseen": None if found is None else board.length_control[suite][1],
    }


def _controlled_caption(board: Board) -> Sequence[str]:
    known = any(c.length_controlled for row in board.rows for c in row.cells.values())
    kind, error = board.length_control[board.suites[0]]
    off = f", with an error of {error:g} points for unseen models that the interval excludes" if error else ""
    text = "length-controlled: win rate on the first suite at equal lengths, error by bootstrap with new fits"
    return (f"{text}; {kind}{off}",) if known else ()


def _other(board: Board, row: Row, key: str) -> str:
    cell = _first(board, row)
    return "" if cell is None or key not in cell.others else f"{100 * cell.others[key]:.1f}"


def _other_numbers(board: Board, row: Row, suite: str) -> Numbers:
    others = row.cells[suite].others
    return {f"by_{name}": 100 * others[name] if name in others else None for name in board.others}


def _other_caption(board: Board) -> Sequence[str]:
    text = f"{', '.join(board.others)}: win rate on the first suite by other judges"
    return (text,) if board.others else ()


def _longest(board: Board, row: Row, key: str) -> str:
    cell = _first(board, row)
    return "" if cell is None or cell.longest is None else f"{100 * cell.longest:.1f}"


def _longest_numbers(board: Board, row: Row, suite: str) -> Numbers:
    value = row.cells[suite].longest
    return {"longest": None if value is None else 100 * value}


def _longest_caption(board: Board) -> Sequence[str]:
    return (
        "longest: win rate on the first suite if the longer answer always won; a constant judge gives 50",
    )


# --- Published rows -------------------------------------------------------------------------------------


def _copied_caption(board: Board) -> Sequence[str]:
    text = f"(copied): printed in {board.source}, other data and judge, one run, no interval; in no test and no rank"
    return (text,) if board.copied else ()


def _copied_suite(board: Board, row: Copied, suite: str) -> Numbers:
    return {"suite": suite, "mean": row.values[suite]}


COLUMNS: tuple[Column, ...] = (
    Column(
        "",
        caption=_recipe_caption,
        numbers=lambda board, row, suite: {"recipe": board.recipe},
        place=0,
    ),
    Column(
        "method",
        _method,
        lambda board, row, key: f"{row.method} (copied)",
        _stand_ins,
        _method_numbers,
        lambda board, row, suite: {"method": row.method, "provenance": "copied"},
    ),
    Column("rank", _rank, caption=_rank_caption, numbers=_rank_numbers, place=1),
    Column(
        "seeds",
        _seeds,
        lambda board, row, key: "1 run",
        _seeds_caption,
        lambda board, row, suite: {"seeds": len(row.seeds)},
        place=6,
    ),
    Column(
        "{}",
        _rate,
        _rate_copied,
        numbers=_rate_numbers,
        copied_numbers=_copied_suite,
        over=lambda board: board.suites,
    ),
    Column(
        f"{{}} - {BASELINE}",
        _difference,
        caption=_difference_caption,
        numbers=_difference_numbers,
        over=_compared,
        place=5,
    ),
    Column(
        "length-controlled{}",
        _controlled,
        caption=_controlled_caption,
        numbers=_controlled_numbers,
        over=_controlled_kind,
        place=2,
    ),
    Column(
        "{}",
        _other,
        caption=_other_caption,
        numbers=_other_numbers,
        over=lambda board: board.others,
        place=4,
    ),
    Column("longest", _longest, caption=_longest_caption, numbers=_longest_numbers, place=3),
    Column(
        "KL",
        lambda board, row, key: "" if row.kl is None else f"{row.kl:.2f}",
        numbers=lambda board, row, suite: {"kl": row.kl},
    ),
    Column(
        "tokens",
        lambda board, row, key: "" if row.length_tokens is None else f"{row.length_tokens:.1f}",
        numbers=lambda board, row, suite: {"length_tokens": row.length_tokens},
    ),
    Column(
        "",
        numbers=lambda board, row, suite: {
            "measured": board.judges[suite],
            "evidence": board.notes.get(suite, ""),
            "trained_on_judge": row.trained_on_judge,
        },
        copied_numbers=lambda board, row, suite: {"measured": board.source},
    ),
)
"""The columns from left to right."""
