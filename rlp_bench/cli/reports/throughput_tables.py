"""Output formats of `report throughput`: tables, Markdown and CSV."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlp_bench.api import escape
from rlp_bench.display import short

UNKNOWN = "unknown"
Row = Mapping[str, Any]
Cell = tuple[str, Callable[[Row], str]]


def _number(name: str, form: Callable[[float], str]) -> Callable[[Row], str]:
    return lambda row: "-" if row.get(name) is None else form(row[name])


def _least(name: str, form: Callable[[float], str], short_of: Callable[[Row], bool]) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        if row.get(name) is None:
            return UNKNOWN
        return (">= " if short_of(row) else "") + form(row[name])

    return cell


def _small(value: float) -> str:
    """Four decimals; small values are shown as "<0.0001"."""
    return f"{value:.4f}" if value >= 0.0001 else "<0.0001"


def _resumed(row: Row) -> bool:
    return bool(row["resumed"] or row["unmetered"])


COMMON: list[Cell] = [
    (">wall s", _least("wall_seconds", lambda v: f"{v:.1f}", _resumed)),
    (">CPU s", _least("cpu_seconds", lambda v: f"{v:.1f}", _resumed)),
    (">trained tok/s", _number("tokens_trained_per_second", lambda v: f"{v:,.0f}")),
    (">sampled tok/s", _number("tokens_sampled_per_second", lambda v: f"{v:,.0f}")),
    (">samples/s", _number("samples_per_second", lambda v: f"{v:.1f}")),
]
STEPS: Cell = (">steps/s", _number("steps_per_second", lambda v: f"{v:.2f}"))
REST: list[Cell] = [
    (">peak MB", _least("peak_bytes", lambda v: f"{v / 1e6:.0f}", lambda _: False)),
    (">FLOPs", _least("flops", short, lambda row: not row["flops_are_all"] or _resumed(row))),
    (">FLOP/s", _least("flops_per_second", short, lambda _: False)),
    (">utilisation", _least("utilisation", lambda v: f"{100 * v:.1f} %", lambda _: False)),
    (">device-h", _least("device_hours", _small, _resumed)),
    (">cost $", _least("cost", _small, _resumed)),
]


def tables(found: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, columns, rows) of methods, stages and the total."""
    marks = set(found["stand_ins"])

    def named(method: str) -> str:
        return method + (" (stand-in)" if method in marks else "")

    def who(row: Row) -> str:
        return f"shared by {len(row['methods'])}" if row["shared"] else named(row["methods"][0])

    shared: Cell = (">shared s", _number("shared_wall_seconds", lambda v: f"{v:.1f}"))
    stage_cells = [*COMMON, STEPS, *REST]
    method_cells = [COMMON[0], shared, *COMMON[1:], *REST]
    seeds = ", ".join(map(str, found["seeds"]))
    stages = [
        [row["stage"], who(row), str(row["artifacts"]), *_cells(row, stage_cells)] for row in found["stages"]
    ]
    methods = [
        [named(row["method"]), str(row["runs"]), *_cells(row, method_cells)] for row in found["methods"]
    ]
    sums = [
        [
            "all, shared stages once",
            str(found["total"]["artifacts"]),
            *_cells(found["total"], [*COMMON, *REST]),
        ]
    ]
    if found["tuning"]:
        row = found["tuning"]
        sums.append(["tuning, beside it", str(row["artifacts"]), *_cells(row, [*COMMON, *REST])])
    return [
        (f"Methods, {found['recipe_id']}: mean of a run, from the base; seeds {seeds}",
         ["method", ">runs", *(name for name, _ in method_cells)], methods),
        ("Stages: mean of a stage", ["stage", "of", ">n", *(name for name, _ in stage_cells)], stages),
        ("Total", ["", ">stages", *(name for name, _ in [*COMMON, *REST])], sums),
    ]  # fmt: skip


def _cells(row: Row, cells: Sequence[Cell]) -> list[str]:
    """A row's cells; all "-" where no stage was run (the base needs none)."""
    return [cell(row) if row["artifacts"] else "-" for _, cell in cells]


def footnotes(found: Mapping[str, Any]) -> list[str]:
    peak, price = found["peak_flops_per_second"], found["price_per_device_hour"]
    given = UNKNOWN if peak is None else f"{short(peak)}FLOP/s ({found['peak_source']})"
    missing = ", ".join(found["total"]["flops_missing"])
    cost = f"{UNKNOWN}; set it by --price" if price is None else f"${price:g} per hour"
    return [
        f"Machine: {'; '.join(found['machines'])}; device {', '.join(found['devices'])}.",
        f"FLOPs: {found['formula']}.",
        f"Peak: {given}. Price of a device: {cost}.",
        f"Without shared stages, the runs would have taken {found['unshared_wall_seconds']:.1f} s of wall-clock time.",
        *found["notes"],
        *([f"FLOPs not counted: {missing}."] if missing else []),
    ]  # fmt: skip


def markdown(found: Mapping[str, Any]) -> str:
    lines = []
    for title, columns, rows in tables(found):
        lines += [f"### {escape.markdown(title)}", ""]
        lines.append("| " + " | ".join(escape.markdown(column.lstrip(">")) for column in columns) + " |")
        lines.append("|" + "|".join("---:" if column.startswith(">") else "---" for column in columns) + "|")
        lines += ["| " + " | ".join(map(escape.markdown, row)) + " |" for row in rows]
        lines.append("")
    return "\n".join([*lines, *(f"- {escape.markdown(line)}" for line in footnotes(found))])


def csv_text(found: Mapping[str, Any]) -> str:
    """One row per stage, method and total; unknown values are "unknown", inapplicable ones empty."""
    levels = [("stage", row) for row in found["stages"]] + [("method", row) for row in found["methods"]]
    levels += [(name, found[name]) for name in ("total", "tuning") if found[name]]
    about = {name: found[name] for name in ("recipe_id", "price_per_device_hour", "peak_flops_per_second")}
    names = dict.fromkeys(name for _, row in levels for name in row)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["level", *map(escape.csv, names), *about])
    for level, row in levels:
        cells = [_csv_cell(row[name]) if name in row else "" for name in names]
        writer.writerow([level, *cells, *map(_csv_cell, about.values())])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list):
        between = " " if all(" " not in str(each) for each in value) else "; "
        return escape.csv(between.join(map(str, value)))
    return UNKNOWN if value is None else escape.csv(value)
