"""`rlp-bench report throughput`: time, throughput and cost of stages and methods, as text, Markdown, CSV or JSON."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.cli.options import STORE, Json, MatrixName, StoreFolder
from rlp_bench.display import print_json, print_text, show, table

if TYPE_CHECKING:
    from rlp_bench.store.store import Store

FORMATS = ("text", "md", "csv", "json")


def throughput(
    matrix: MatrixName = None,
    runs: Annotated[
        list[str] | None,
        typer.Option("--runs", help="These runs instead of a matrix: names or folders; repeatable."),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="text, md, csv or json.")] = "text",
    price: Annotated[
        float | None,
        typer.Option("--price", help="Dollars per device-hour; without it the cost is unknown."),
    ] = None,
    peak_flops: Annotated[
        float | None, typer.Option("--peak-flops", help="Peak FLOP/s of the device, for the utilization.")
    ] = None,
    measure_peak: Annotated[
        bool, typer.Option("--measure-peak", help="Measure the peak on this machine, by a matrix product.")
    ] = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Report seconds, tokens, samples and steps per second, memory, FLOPs, utilization, device-hours and cost."""
    from rlp_bench.analysis.throughput import Terms, one_recipe
    from rlp_bench.analysis.throughput import throughput as throughput_of
    from rlp_bench.store.store import Store

    form = "json" if as_json else format
    _check(matrix, runs or [], form, price, peak_flops, measure_peak)
    opened = Store(store)
    folders, tuning = _chosen_runs(opened, runs) if runs else _runs_of_matrix(opened, matrix)
    one_recipe(folders)
    source = "unknown" if peak_flops is None else "given"
    if measure_peak:
        peak_flops, source = _measure(folders)
    found = throughput_of(opened, folders, tuning, Terms(price, peak_flops, source))
    found["stand_ins"] = _stand_ins(opened, folders)
    _print(found, form)


def _print(found: dict[str, Any], form: str) -> None:
    from rlp_bench.cli.reports.throughput_tables import csv_text, footnotes, markdown, tables

    if form == "json":
        print_json(found)
    elif form == "csv":
        print_text(csv_text(found))
    elif form == "md":
        print_text(markdown(found))
    else:
        show(*[table(title, columns, rows) for title, columns, rows in tables(found)])
        print_text("\n".join(footnotes(found)))


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
        raise BenchError("report throughput: --matrix and --runs were given; expected one of them")
    for name, value in (("--price", price), ("--peak-flops", peak_flops)):
        if value is not None and not (0 < value < math.inf):
            raise BenchError(f"{name} {value:g}: expected a number above 0; leave it out if it is unknown")
    if measure_peak and peak_flops is not None:
        raise BenchError("--measure-peak and --peak-flops: both give the peak; give one of them")


def _runs_of_matrix(store: "Store", name: str | None) -> tuple[list[Path], list[Path]]:
    """(folders of a matrix's runs, folders of its tuning runs)."""
    from rlp_bench.analysis.matrix_results import open_matrix
    from rlp_bench.matrix.schedule import MATRIX
    from rlp_bench.run.records import read_record, run_folders

    if name is None and not list((store.root / "matrix").glob(f"*/{MATRIX}")):
        raise UnknownName(
            f'store "{store.root}": has no matrix; run `rlp-bench matrix`, or name runs by --runs '
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


def _chosen_runs(store: "Store", given: Sequence[str]) -> tuple[list[Path], list[Path]]:
    from rlp_bench.run.records import find_run

    names = [name.strip() for text in given for name in text.split(",")]
    return list(dict.fromkeys(find_run(store, name).path for name in names)), []


def _measure(folders: Sequence[Path]) -> tuple[float, str]:
    """(peak FLOP/s, description of the measurement), measured by a matrix product on this machine.

    Raises:
        BenchError: the runs were made on another machine.
    """
    from rlp_bench.analysis.measured_flops import measured_peak
    from rlp_bench.run.provenance import machine
    from rlp_bench.run.records import read_record

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


def _stand_ins(store: "Store", folders: Sequence[Path]) -> list[str]:
    """Methods with a stand-in stage."""
    from rlp_bench.run.records import read_record, stand_ins

    found = set()
    for folder in folders:
        record = read_record(folder)
        stages = [row for row in record["stages"] if row["trainer"] != "checkpoint"]
        if stand_ins([(row["stage"], store.get(row["kind"], row["fingerprint"])) for row in stages]):
            found.add(record["method"])
    return sorted(found)
