"""Progress of the jobs of a graph by kind of stage: done, running and queued."""

from collections import Counter

from rlp_bench.matrix.executors.executor import Executor
from rlp_bench.matrix.schedule import Job, Matrix


def states(matrix: Matrix, executor: Executor) -> str:
    """ "sft 2/2 | reward 1/4, 2 running, 1 waiting"; waiting: submitted to the cluster but not started."""
    begun = executor.running()
    total: Counter[str] = Counter(kind(job) for job in matrix.jobs.values())
    done: Counter[str] = Counter(kind(matrix.jobs[key]) for key in matrix.done)
    running: Counter[str] = Counter(kind(matrix.jobs[key]) for key in matrix.running if key in begun)
    waiting: Counter[str] = Counter(kind(matrix.jobs[key]) for key in matrix.running if key not in begun)
    failed: Counter[str] = Counter(kind(matrix.jobs[key]) for key in matrix.failed)
    counts = {"running": running, "waiting": waiting, "failed": failed}
    return " | ".join(
        ", ".join(
            [f"{name} {done[name]}/{n}", *(f"{c[name]} {what}" for what, c in counts.items() if c[name])]
        )
        for name, n in total.items()
    )


def kind(job: Job) -> str:
    """A stage's label without its number; for other jobs, their `what`."""
    return job.label.partition("-")[0] if job.what == "stage" else job.what
