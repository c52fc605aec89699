"""`rlp-bench bench`: times the fixed workloads, validates the timings and compares them with a baseline."""

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.api.files import write_json
from rlp_bench.cli.options import Json
from rlp_bench.display import Display, print_json, print_text, short, show, table


def bench(
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="Compare with a file written by --save.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the measurements, for a later --baseline.")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Rounds per workload; the fastest counts.")] = 5,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this workload; repeatable.")] = None,
    factor: Annotated[
        float, typer.Option("--factor", help="Ratio to the baseline above which a workload is slower.")
    ] = 1.25,
    counters_only: Annotated[
        bool, typer.Option("--counters-only", help="Compare counters only, not timings: for shared machines.")
    ] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Clear loaded models and all caches before every round.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder of the judge's answers; default: a new, empty one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Time the fixed workloads. Exit status 1: slower than the baseline or counters differ; 3: incomparable."""
    from rlp_bench.perf.baseline_files import read_document
    from rlp_bench.perf.comparison import LEVEL, compare, exit_status, rows_of

    names = _chosen(only or [])
    _check(k, factor, save, cache)
    before = read_document(baseline) if baseline is not None else None
    document, left_out = _timed(names, k, cold, cache, save, as_json)
    rows = rows_of(document) if before is None else compare(document, before, factor, counters_only)
    status = 0 if before is None else exit_status(rows)
    about = document["rlp_bench"]
    if as_json:
        found = {"factor": factor, "level": LEVEL, "left_out": left_out, "workloads": rows, "exit": status}
        print_json({**about, **found, "baseline": baseline, "saved": save})
    else:
        show(_table(rows, before is not None))
        print_text("\n".join(_lines(rows, about, before, left_out, factor, baseline, save)))
    sys.exit(status)


def _chosen(only: Sequence[str]) -> list[str]:
    from rlp_bench.perf.workloads import WORKLOADS

    known = [one.name for one in WORKLOADS]
    requested = [name.strip() for text in only for name in text.split(",")]
    for name in requested:
        if name not in known:
            raise UnknownName(f'bench --only "{name}": no such workload; {nearest(name, known)}')
    return [name for name in known if not requested or name in requested]


def _check(k: int, factor: float, save: Path | None, cache: Path | None) -> None:
    from rlp_bench.perf.baseline_files import LEAST_ROUNDS

    if k < LEAST_ROUNDS:
        raise BenchError(
            f"bench --k {k}: expected at least {LEAST_ROUNDS} rounds; fewer cannot tell slower from noise"
        )
    if not 1 < factor < math.inf:
        raise BenchError(f"bench --factor {factor:g}: expected more than 1, for example 1.25")
    if save is not None and (save.is_dir() or not save.parent.is_dir()):
        raise BenchError(f'bench --save "{save}": expected a file in a folder that exists')
    if cache is not None and cache.is_file():
        raise BenchError(f'bench --cache "{cache}": expected a folder')


def _timed(
    names: Sequence[str], k: int, cold: bool, cache: Path | None, save: Path | None, quiet: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """(the measurements, saved if `save` is given; skipped workload -> reason).

    Raises:
        BenchError: no workload's packages are installed, or the timings are invalid.
    """
    from rlp_bench.perf.baseline_files import check_fresh
    from rlp_bench.perf.timing import check_installed, time_workloads, without_packages

    check_installed()
    left_out = without_packages(names)
    names = [name for name in names if name not in left_out]
    if not names:
        raise BenchError(f"bench: {'; '.join(f'{name} {why}' for name, why in left_out.items())}")
    with Display(quiet=quiet) as display:
        given = str(cache.resolve()) if cache is not None else ""
        document = time_workloads(names, k, cold, given, display)
    check_fresh(document)
    if save is not None:
        write_json(save, document)
    return document, left_out


def _table(rows: Sequence[Mapping[str, Any]], compared: bool) -> Any:
    columns = [
        "workload",
        ">per second",
        "unit",
        ">min s",
        ">median s",
        ">CPU s",
        ">rounds",
        ">cache hits",
        ">retries",
    ]
    columns += [">baseline s", ">ratio", ">p", "timing", "counters", "verdict"] if compared else []
    lines = []
    for row in rows:
        cells = [
            row["workload"], short(row["per_second"]), row["unit"], f"{row['min_seconds']:.3f}",
            f"{row['median_seconds']:.3f}", f"{row['min_cpu_seconds']:.3f}", str(len(row["seconds"])),
            "-" if row["cache_hit_rate"] is None else f"{100 * row['cache_hit_rate']:.0f} %",
            "-" if row["retries"] is None else f"{row['retries']:g}",
        ]  # fmt: skip
        if compared:
            timed = "ratio" in row
            counters = "incomparable" if row["changed"] is None else "changed" if row["changed"] else "same"
            cells += [
                f"{row['baseline_min_seconds']:.3f}" if timed else "-",
                f"{row['ratio']:.2f}" if timed else "-",
                f"{row['p']:.3f}" if timed else "-",
                row["timing"], counters, row["verdict"],
            ]  # fmt: skip
        lines.append(cells)
    return table("Workloads: fastest round, without time waited for a core", columns, lines)


def _lines(
    rows: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    left_out: Mapping[str, str],
    factor: float,
    baseline: Path | None,
    save: Path | None,
) -> list[str]:
    from rlp_bench.perf.comparison import LEVEL

    machine = about["machine"]
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    way = "cold: caches cleared before every round" if about["cold"] else "warm: models loaded once"
    found = [
        f"Machine {machine['id']}: {machine['processor']}, {machine['cores']} cores, torch {machine['torch']}, "
        f"{machine['threads']} thread{gpu}; {way}."
    ]
    found += [f"Left out: {name}, {why}." for name, why in left_out.items()]
    if before is not None:
        found.append(
            f'Against "{baseline}": slower is more than {factor:g} times its fastest round and p < {LEVEL:g} '
            "(Mann-Whitney, one-sided); counters are compared exactly."
        )
        for row in rows:
            if row["why"]:
                found.append(f"{row['workload']}: timings incomparable, {row['why']}.")
            for one in row["changed"] or ():
                found.append(
                    f"{row['workload']}: {one['counter']} is {one['now']}, the baseline has {one['baseline']}."
                )
    return [*found, *([f"saved: {save}"] if save is not None else [])]
