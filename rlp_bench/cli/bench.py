"""`rlp-bench bench`: the options."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.cli.options import Json


def bench(
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="Compare with what --save wrote earlier.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the measurements, for --baseline later.")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Rounds of each workload; the fastest counts.")] = 5,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only this workload; repeatable.")] = None,
    factor: Annotated[float, typer.Option("--factor", help="So much slower is slower.")] = 1.25,
    counters_only: Annotated[
        bool, typer.Option("--counters-only", help="Gate no timing: for machines that others use too.")
    ] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Forget loaded models and all memos before every round.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder of the judge's answers; default: a new, empty one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Time the fixed workloads. Exit 1: slower than the baseline or other counters; 3: incomparable."""
    from rlp_bench.cli.commands.bench import bench_command

    bench_command(baseline, save, k, only or [], factor, counters_only, cold, cache, as_json)
