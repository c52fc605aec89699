"""Costs of stages and methods: seconds, rates, memory, FLOPs; unmeasured values are empty, not 0."""

from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import Block, Cell, Results, Section, Table, Text, absent
from .methods import in_order, marked, plain
from .text import amount

TITLE = "Throughput and budgets"
FIGURES = {
    "wall_seconds": "wall s",
    "cpu_seconds": "CPU s",
    "tokens_trained_per_second": "tokens trained/s",
    "tokens_sampled_per_second": "tokens sampled/s",
    "samples_per_second": "samples/s",
    "steps_per_second": "steps/s",
    "flops": "FLOP",
    "flops_per_second": "FLOP/s",
    "utilisation": "utilization",
    "peak_bytes": "peak memory, bytes",
    "peak_device_bytes": "peak on the device, bytes",
    "device_hours": "device-hours",
    "cost": "cost, dollars",
}
"""Figure of `rlp_bench.analysis.throughput` -> column heading; columns without values are not shown."""


def throughput(r: Results) -> Section:
    """The section with costs of stages, methods and the whole matrix, and the counted work per run."""
    found = r.get("throughput") or {}
    if not any(stage["wall_seconds"] is not None for stage in found.get("stages", ())):
        return absent("throughput", TITLE, "No stage of this matrix was metered (meter.json).")
    stages, methods, total = found["stages"], found["methods"], found["total"]
    used = [f for f in FIGURES if any(row.get(f) is not None for row in (*stages, *methods, total))]
    intro = [
        "Measured during the runs, several at a time on one machine; not a benchmark of the code. Seconds and FLOP "
        "are means over seeds; rates are ratios of totals. Empty: not counted by that stage. "
        f"{', '.join(found['machines'])}; {', '.join(found['devices'])}.",
        *found["notes"],
        f"FLOP: {found['formula']}.",
    ]
    rows = [_row(f"{s['stage']} ({_who(r, s['methods'])})", s["artifacts"], s, used) for s in stages]
    blocks: list[Block] = [Text(intro), _table("stage", "made", used, rows)]
    by_name = {row["method"]: row for row in methods}
    ways = [_row(marked(r, m), by_name[m]["runs"], by_name[m], used) for m in in_order(r, list(by_name))]
    everything = _row("whole matrix, shared stages once", total["artifacts"], total, used)
    blocks += [
        Text(["All stages of a method from the base model on, including shared ones; mean over its runs."]),
        _table("method", "runs", used, [*ways, everything]),
        *_budgets(r),
    ]
    return Section("throughput", TITLE, blocks)


def _who(r: Results, methods: Sequence[str]) -> str:
    return f"{len(methods)} methods" if len(methods) > 2 else ", ".join(plain(r, m) for m in methods)


def _table(first: str, count: str, used: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> Table:
    return Table([first, count, *(FIGURES[f] for f in used)], rows)


def _row(name: str, n: int, row: Mapping[str, Any], used: Sequence[str]) -> list[Cell | str]:
    lacking = [f"{row[key]} {key}" for key in ("unmetered", "resumed") if row[key]]
    return [name, Cell(str(n), ", ".join(lacking)), *(_figure(row, f) for f in used)]


def _figure(row: Mapping[str, Any], figure: str) -> Cell:
    value = row.get(figure)
    if value is None:
        return Cell("")
    least = figure.startswith("flops") and not row["flops_are_all"]
    return Cell(("≥ " if least else "") + amount(value))


def _budgets(r: Results) -> list[Block]:
    if not r["budgets"]:
        return []
    columns = list(next(iter(r["budgets"].values())))
    rows = [
        [marked(r, m), *(amount(r["budgets"][m][c]) for c in columns)]
        for m in in_order(r, list(r["budgets"]))
    ]
    head = ["method", *(c.replace("_", " ") for c in columns)]
    return [Table(head, rows, summary="Counted work per run, mean over seeds")]
