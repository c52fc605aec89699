"""`run --executor`: executes the jobs of one run on a cluster."""

from collections.abc import Sequence

from rlp_bench.api.errors import BenchError
from rlp_bench.api.report import Report, read_report
from rlp_bench.display import Display
from rlp_bench.matrix.executors.executor import open_executor
from rlp_bench.matrix.schedule import Matrix, add_one, schedule
from rlp_bench.matrix.states import states
from rlp_bench.plan.graph import Plan
from rlp_bench.run.provenance import machine
from rlp_bench.run.records import REPORT, RunRecord
from rlp_bench.run.runner import Made, begin_record, run_plan, set_threads
from rlp_bench.store.store import Store


def one_run(plan: Plan, store: Store, evaluate: bool, suites: Sequence[str] | None) -> Matrix:
    """A matrix with the jobs of one run."""
    matrix = Matrix(plan.recipe, [plan.method], [plan.seed], store, False, False)
    add_one(matrix, plan, evaluate, suites)
    return matrix


def run_with_executor(
    matrix: Matrix, plan: Plan, spec: str, display: Display, made: Made | None
) -> tuple[RunRecord, Report | None]:
    """Executes a run's jobs with an executor; returns (record, report), the report None if not requested.

    Raises:
        BenchError: a job failed; the message is the first failure's. Sealed artifacts are kept.
    """
    set_threads(plan.recipe.compute.threads)
    executor = open_executor(spec, plan.recipe, matrix.store.root, machine()["cores"])
    begin_record(plan, matrix.store)
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
    return record, read_report(report) if evaluated else None
