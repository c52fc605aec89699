"""`report throughput`: what stages and methods took, as text, Markdown, CSV or JSON."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.analysis.measured_flops import measured_peak
from rlp_bench.analysis.throughput import Terms, one_recipe, throughput
from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.display import print_json, print_text, short, show, table
from rlp_bench.matrix.schedule import MATRIX
from rlp_bench.run.provenance import machine
from rlp_bench.run.records import find_run, read_record, run_folders, stand_ins
from rlp_bench.store.store import Store

FORMATS = ("text", "md", "csv", "json")
UNKNOWN = "unknown"
Row = Mapping[str, Any]


def throughput_command(
    matrix: str | None,
    runs: Sequence[str],
    format: str,
    price: float | None,
    peak_flops: float | None,
    measure_peak: bool,
    root: Path,
) -> None:
    """Prints the report over a matrix, or over some runs."""
    _check(matrix, runs, format, price, peak_flops, measure_peak)
    store = Store(root)
    folders, tuning = _chosen_runs(store, runs) if runs else _runs_of_matrix(store, matrix)
    one_recipe(folders)
    source = "unknown" if peak_flops is None else "given"
    if measure_peak:
        peak_flops, source = _measure(folders)
    found = throughput(store, folders, tuning, Terms(price, peak_flops, source))
    found["stand_ins"] = _stand_ins(store, folders)
    if format == "json":
        print_json(found)
    elif format == "csv":
        print_text(_csv(found))
    elif format == "md":
        print_text(_markdown(found))
    else:
        show(*[table(title, columns, rows) for title, columns, rows in _tables(found)])
        print_text("\n".join(_footnotes(found)))


def _check(
    matrix: str | None,
    runs: Sequence[str],
    format: str,
    price: float | None,
    peak_flops: float | None,
    measure_peak: bool,
) -> None:
    if format not in FORMATS:
        raise UnknownName(f'--format "{format}": no such format; {nearest(format, FORMATS)}')
    if matrix is not None and runs:
        raise BenchError("report throughput: --matrix and --runs name two things; give one of them")
    for name, value in (("--price", price), ("--peak-flops", peak_flops)):
        if value is not None and not (0 < value < math.inf):
            raise BenchError(
                f"{name} {value:g}: expected a number above 0; leave it out where nobody knows it"
            )
    if measure_peak and peak_flops is not None:
        raise BenchError("--measure-peak and --peak-flops: both give the peak; give one of them")


def _runs_of_matrix(store: Store, name: str | None) -> tuple[list[Path], list[Path]]:
    """(folders of a matrix's runs, folders of the runs that chose its methods' setting)."""
    from rlp_bench.analysis.matrix_results import open_matrix

    if name is None and not list((store.root / "matrix").glob(f"*/{MATRIX}")):
        raise UnknownName(
            f'store "{store.root}": has no matrix; `rlp-bench matrix` makes one, or name runs by --runs '
            "(`rlp-bench ls runs` lists them)"
        )
    document = open_matrix(store, name)
    folders = [store.root / run["folder"] for run in document["runs"]]
    rule = document["tuning"]["rule"]
    if rule is None:
        return folders, []
    mine = {folder.name for folder in folders}
    tuning = []
    for folder in run_folders(store):
        record = read_record(folder)
        asked = record["recipe_id"] == document["recipe_id"] and record["method"] in document["methods"]
        if (
            asked
            and record["seed"] == rule["seed"]
            and record["status"] == "done"
            and folder.name not in mine
        ):
            tuning.append(folder)
    return folders, tuning


def _chosen_runs(store: Store, given: Sequence[str]) -> tuple[list[Path], list[Path]]:
    names = [name.strip() for text in given for name in text.split(",")]
    return list(dict.fromkeys(find_run(store, name).path for name in names)), []


def _measure(folders: Sequence[Path]) -> tuple[float, str]:
    """(FLOP/s, how it was found): a matrix product here, where the runs were made here too.

    Raises:
        BenchError: they were made elsewhere.
    """
    records = [read_record(folder) for folder in folders]
    here = machine()
    for record in records:
        if any(record["machine"][key] != here[key] for key in ("processor", "architecture", "cores")):
            raise BenchError(
                f'--measure-peak: run of "{record["machine"]["processor"]}" ({record["machine"]["cores"]} cores), this '
                f'machine is "{here["processor"]}" ({here["cores"]} cores); give the peak by --peak-flops'
            )
    compute = [record["recipe"]["compute"] for record in records]
    threads = max(one["threads"] * one["processes"] for one in compute)
    device = compute[0]["device"]
    return measured_peak(device, threads), f"best float32 matrix product here, {device}, {threads} threads"


def _stand_ins(store: Store, folders: Sequence[Path]) -> list[str]:
    """Methods that have a stage which stands in for what its name says."""
    found = set()
    for folder in folders:
        record = read_record(folder)
        stages = [row for row in record["stages"] if row["trainer"] != "checkpoint"]
        if stand_ins([(row["stage"], store.get(row["kind"], row["fingerprint"])) for row in stages]):
            found.add(record["method"])
    return sorted(found)


# --- Text ---------------------------------------------------------------------------------------------

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
    """What is little is not nothing."""
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


def _tables(found: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
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
    """A row's cells; "-" throughout where no stage was made (the base needs none)."""
    return [cell(row) if row["artifacts"] else "-" for _, cell in cells]


def _footnotes(found: Mapping[str, Any]) -> list[str]:
    peak, price = found["peak_flops_per_second"], found["price_per_device_hour"]
    given = UNKNOWN if peak is None else f"{short(peak)}FLOP/s ({found['peak_source']})"
    missing = ", ".join(found["total"]["flops_missing"])
    cost = f"{UNKNOWN}; --price states one" if price is None else f"${price:g} an hour"
    return [
        f"Machine: {'; '.join(found['machines'])}; device {', '.join(found['devices'])}.",
        f"FLOPs: {found['formula']}.",
        f"Peak: {given}. Price of a device: {cost}.",
        f"Stages run by run, nothing shared, would have taken {found['unshared_wall_seconds']:.1f} s of wall clock.",
        *found["notes"],
        *([f"FLOPs not counted: {missing}."] if missing else []),
    ]  # fmt: skip


def _markdown(found: Mapping[str, Any]) -> str:
    lines = []
    for title, columns, rows in _tables(found):
        lines += [f"### {title}", ""]
        lines.append("| " + " | ".join(column.lstrip(">") for column in columns) + " |")
        lines.append("|" + "|".join("---:" if column.startswith(">") else "---" for column in columns) + "|")
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        lines.append("")
    return "\n".join([*lines, *(f"- {line}" for line in _footnotes(found))])


def _csv(found: Mapping[str, Any]) -> str:
    """One row a stage, method and total; what is unknown says so, what does not apply is empty."""
    levels = [("stage", row) for row in found["stages"]] + [("method", row) for row in found["methods"]]
    levels += [(name, found[name]) for name in ("total", "tuning") if found[name]]
    about = {name: found[name] for name in ("recipe_id", "price_per_device_hour", "peak_flops_per_second")}
    names = dict.fromkeys(name for _, row in levels for name in row)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["level", *names, *about])
    for level, row in levels:
        cells = [_csv_cell(row[name]) if name in row else "" for name in names]
        writer.writerow([level, *cells, *map(_csv_cell, about.values())])
    return out.getvalue()


def _csv_cell(value: Any) -> str:
    if isinstance(value, list):
        return (
            " ".join(map(str, value)) if all(" " not in str(v) for v in value) else "; ".join(map(str, value))
        )
    return UNKNOWN if value is None else str(value)
