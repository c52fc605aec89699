"""Executor on Slurm, by submitit: one job per stage, submitted when its inputs are sealed.

The driver keeps running and submits jobs; if it is killed, the same command resumes, and sealed stages are not
submitted again. `executor = "local"` in the options uses processes of this machine instead of Slurm.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.matrix.executors.executor import Task, encode, failure, package
from rlp_bench.matrix.executors.options import Place, SlurmOptions, load_options
from rlp_bench.matrix.executors.shared_folder import SharedFolder
from rlp_bench.matrix.executors.worker import Requeued
from rlp_bench.recipes.schema import Recipe

QUEUE = 100
"""Default maximum number of jobs at a time."""
MINUTES = 24 * 60
"""Default time limit of a job."""
SRUN_CPUS = "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"
"""Gives a step the job's CPUs: since Slurm 22.05 a step gets one CPU by default."""
LOCAL_SECONDS = 0.1
"""Polling interval of jobs in local processes."""


class SlurmExecutor:
    """Executes tasks as submitit jobs."""

    name = "slurm"

    def __init__(self, argument: str, recipe: Recipe, root: Path, jobs: int) -> None:
        if not argument:
            raise BenchError(
                "--executor slurm: has no options; give slurm:FILE.toml (docs/scale.md has an example)"
            )
        self.options = load_options(argument, SlurmOptions)
        self.recipe, self.root = recipe, root
        self._here = self.options.executor == "local"
        self.slots = self.options.jobs or (jobs if self._here else QUEUE)
        submitit = package("slurm")
        if not self._here and shutil.which("srun") is None:
            raise BenchError(
                "--executor slurm: srun is not on this machine; run it where Slurm is installed, or set "
                'executor = "local" in the options'
            )
        self.exchange = SharedFolder(root)
        self.folder = self.exchange.folder / "jobs"
        self._submitit, self._kept = submitit, False
        self._jobs: dict[str, tuple[Task, Any, int]] = {}
        """Key -> the task, submitit's job, and the number of resubmissions."""
        self._looked, self._missed = 0.0, set[str]()

    def check(self, task: Task) -> None:
        """Checks nothing: Slurm itself rejects impossible requests."""

    def submit(self, task: Task) -> None:
        """See `Executor`."""
        self._jobs[task.key] = (task, self._send(task), 0)

    def ended(self, seconds: float) -> Sequence[tuple[str, str]]:
        """See `Executor`."""
        until = time.monotonic() + seconds
        while not (found := self._over()) and time.monotonic() < until:
            time.sleep(LOCAL_SECONDS if self._here else min(1.0, seconds))
        answers = [(key, self._answer(key)) for key in found]
        return [(key, answer) for key, answer in answers if answer is not None]

    def running(self) -> set[str]:
        """See `Executor`."""
        return {key for key in self._jobs if self.exchange.began(key)}

    def close(self) -> None:
        """Cancels remaining jobs; keeps logs only if a job failed."""
        for _, job, _ in self._jobs.values():
            with suppress(OSError):
                job.cancel(check=False)
        for _, job, _ in self._jobs.values() if self._here else ():
            with suppress(OSError):
                job._process.wait()
        self._jobs.clear()
        if not self._kept:
            self.exchange.close()

    def parameters(self, task: Task) -> dict[str, Any]:
        """submitit's parameters for a task."""
        place, needs = self.options.place(task.stage), task.needs
        memory = place.memory_gb or needs.memory_bytes / 2**30
        found: dict[str, Any] = {
            "name": "rlp-bench " + task.name,
            "timeout_min": place.time or MINUTES,
            "cpus_per_task": place.cpus or needs.cpus,
            "gpus_per_node": needs.gpus if place.gpus is None else place.gpus,
            "nodes": 1,
            "tasks_per_node": 1,
            "mem_gb": max(1, round(memory)),
            "slurm_setup": [SRUN_CPUS, *self.options.setup],
            # on several nodes the job itself starts one step per node (`rlp_bench.run.launcher`)
            "slurm_use_srun": needs.nodes == 1,
            **_slurm_only(place, needs.nodes),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _send(self, task: Task) -> Any:
        executor = self._submitit.AutoExecutor(
            folder=self.folder, cluster=self.options.executor, slurm_max_num_timeout=self.options.timeouts
        )
        executor.update_parameters(**self.parameters(task))
        sent = encode(task, self.recipe, self.root, self.exchange.folder)
        try:
            return executor.submit(Requeued(), sent)
        except (
            self._submitit.core.utils.FailedJobError,
            self._submitit.core.utils.FailedSubmissionError,
        ) as error:
            message = str(error).strip().splitlines()[-1]
            raise BenchError(
                f"--executor slurm: sbatch rejected {task.name} ({message}); check the options"
            ) from None

    def _over(self) -> list[str]:
        """Keys of jobs that have a result, or that have disappeared without one."""
        gone = self._gone()
        return [key for key, (_, job, _) in self._jobs.items() if _answered(job) or job.job_id in gone]

    def _gone(self) -> set[str]:
        """Ids of jobs without a result that were missing from the queue in two polls, as a shared disk may lag.

        Uses squeue rather than sacct, because not every cluster has accounting.
        """
        left = {job.job_id: job for _, job, _ in self._jobs.values() if not _answered(job)}
        if self._here:
            return {number for number, job in left.items() if job.state != "RUNNING" and not _answered(job)}
        if not left or time.monotonic() - self._looked < self.options.poll_seconds:
            return set()
        self._looked = time.monotonic()
        command = ["squeue", "--noheader", "--format=%i", f"--jobs={','.join(sorted(left))}"]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode != 0 and "Invalid job id" not in found.stderr:
            return set()  # the controller does not respond: state unknown
        missing = set(left) - set(found.stdout.split())
        gone, self._missed = missing & self._missed, missing
        return gone

    def _answer(self, key: str) -> str | None:
        """The result of an ended job; None if it was lost and is resubmitted."""
        task, job, again = self._jobs[key]
        if _answered(job):
            del self._jobs[key]
            try:
                return str(job.result())
            except self._submitit.core.utils.FailedJobError as error:
                self._kept = True
                if "timed-out too many times" not in str(error):
                    raise  # a bug in a stage; keeps its traceback
                return failure(
                    f"reached its time limit {self.options.timeouts + 1} times; raise `time` in the options"
                )
        if again < self.options.retries:
            self._jobs[key] = (task, self._send(task), again + 1)
            return None
        del self._jobs[key]
        self._kept = True
        return failure(
            f"submitted {again + 1} times, ended without a result each time; its output: {job.paths.stderr}"
        )


def _answered(job: Any) -> bool:
    """Whether a job's result exists; touches its folder first, because shared disks cache missing files."""
    with suppress(OSError):
        os.utime(job.paths.folder)
    return bool(job.paths.result_pickle.exists())


def _slurm_only(place: Place, nodes: int) -> dict[str, Any]:
    """Options that only Slurm has. A multi-node job is one task for submitit, so that it waits for one result."""
    return {
        "slurm_partition": place.partition,
        "slurm_account": place.account,
        "slurm_qos": place.qos,
        "slurm_constraint": place.constraint,
        "slurm_additional_parameters": {**({"nodes": nodes} if nodes > 1 else {}), **place.sbatch},
    }
