"""`run --executor`: one run's graph on a cluster; and what a dry run prints."""

import json
from collections.abc import Sequence
from typing import Any

from rlp_bench.commands.printing import print_json, show, table
from rlp_bench.commands.states import states
from rlp_bench.errors import BenchError
from rlp_bench.executors import open_executor
from rlp_bench.matrix import Matrix, add_one, schedule
from rlp_bench.plan import Plan
from rlp_bench.progress import Display
from rlp_bench.provenance import machine
from rlp_bench.records import REPORT, RunRecord, run_folder, write_record
from rlp_bench.run import Made, run_plan, set_threads, there
from rlp_bench.store import Store


def one_run(plan: Plan, store: Store, evaluate: bool, suites: Sequence[str] | None) -> Matrix:
    """The jobs of one run."""
    matrix = Matrix(plan.recipe, [plan.method], [plan.seed], store, False, False)
    add_one(matrix, plan, evaluate, suites)
    return matrix


def run_spread(
    matrix: Matrix, plan: Plan, spec: str, display: Display, made: Made | None
) -> tuple[RunRecord, dict[str, Any] | None]:
    """(record, report) of a run whose jobs an executor did; the report is None where it was not asked for.

    Raises:
        BenchError: a job failed, the first one's line; what is sealed stays.
    """
    set_threads(plan.recipe.compute.threads)
    executor = open_executor(spec, plan.recipe, matrix.store.root, machine()["cores"])
    _note(plan, matrix.store)
    bar = display.task(spec)
    for job in schedule(matrix, executor):
        bar(len(matrix.done), len(matrix.jobs), states(matrix, executor))
        if job is not None and job.key in matrix.done:
            display.say(f"{job.label}: {matrix.seconds[job.key]:.1f} s")
    bar.close()
    for key, line in matrix.failed.items():
        raise BenchError(f"{matrix.jobs[key].name}: {line}")
    record = run_plan(plan, matrix.store, Display(quiet=True), made)
    evaluated = any(job.what == "report" for job in matrix.jobs.values())
    report = record.path / REPORT
    return record, json.loads(report.read_text(encoding="utf-8")) if evaluated else None


def _note(plan: Plan, store: Store) -> None:
    """The run's record before its first job: garbage collection spares what a run that has begun needs."""
    sealed = {
        node.fingerprint: store.get(node.kind, node.fingerprint)
        for node in plan.nodes
        if node.trainer != "checkpoint" and there(node, store)
    }
    if not all(there(node, store) for node in plan.nodes):
        with store.errors_as_lines():
            write_record(run_folder(store, plan), plan, sealed, "running")


def print_dry(matrix: Matrix, spec: str, as_json: bool) -> None:
    """What would be done: every job that is not sealed, what it needs, what it asks of its machine."""
    open_jobs = [job for job in matrix.jobs.values() if job.key not in matrix.done]
    rows: list[dict[str, Any]] = [
        {
            "job": job.name,
            "after": sorted(matrix.jobs[key].name for key in job.needs if key not in matrix.done),
            "nodes": job.asks.nodes,
            "cpus": job.asks.cpus,
            "gpus": job.asks.gpus,
            "memory_gb": round(job.asks.memory_bytes / 1e9, 1),
        }
        for job in open_jobs
    ]
    if as_json:
        print_json({"executor": spec, "sealed": len(matrix.done), "jobs": rows})
        return
    title = f"{spec}: {len(rows)} jobs, {len(matrix.done)} are sealed already; nothing was submitted"
    header = ["job", "after", ">nodes", ">CPUs", ">GPUs", ">GB"]
    show(table(title, header, [[r["job"], len(r["after"]), *list(r.values())[2:]] for r in rows]))
