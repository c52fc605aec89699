"""Distributed training of one stage: `torchrun` starts the workers; this process waits and reports progress.

On several nodes the command must run inside a Slurm allocation: `srun` starts one `torchrun` per node, and the store
must be on a shared file system.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import write_json
from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, Prompting
from rlp_bench.recipes.schema import Compute
from rlp_bench.run.end_with import killed

MARK = "\x1e"
"""Prefix of a worker's messages; all other output of workers goes to the log."""
LOG = "workers.log"
TAIL = 2000
"""Characters of the log shown in an error."""
WARNING_TAIL = 240
"""Characters of the log shown in a warning."""
PORT = 29500
DRIVER = "RLP_BENCH_DRIVER"
"""Environment variable with the driver's process id, set if workers run on the same machine: they end with it."""
OUT_OF_MEMORY = "CUDA out of memory"
SIGKILLED = "Signal 9 (SIGKILL)"
"""What torchrun writes of such a worker."""


def world_size(compute: Compute) -> int:
    """Number of processes that train a stage together."""
    return 1 if compute.strategy == "one" else compute.workers * compute.nodes


def train_together(
    trainer: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Artifact | Sequence[Artifact]],
    out: Path,
    context: Context,
    compute: Compute,
    warn: Callable[[str], None],
) -> Mapping[str, float]:
    """Runs `train` in `world_size` processes and returns its metrics; rank 0 writes into `out`.

    Rank 0 reports its metrics when `out` is complete; a process that fails after that only causes a warning.

    Raises:
        BenchError: a worker raised one, memory did not suffice, or workers cannot be started on several nodes.
        RuntimeError: a worker died before that; the message has the end of its log.
    """
    job = context.scratch / "job.json"
    prompting = asdict(context.prompting) if isinstance(context.prompting, Prompting) else None
    write_json(
        job,
        {
            "trainer": trainer,
            "settings": dict(settings),
            "inputs": {name: _described(given) for name, given in inputs.items()},
            "out": str(out.resolve()),
            "scratch": str(context.scratch.resolve()),
            "seed": context.seed,
            "device": compute.device,
            "threads": compute.threads,
            "prompting": prompting,
            "training": asdict(context.training),
            "strategy": compute.strategy,
            "activation_checkpointing": compute.activation_checkpointing,
        },
    )
    driver = {DRIVER: str(os.getpid())} if compute.nodes == 1 else {}
    return _run([*launcher(compute, job), str(job.resolve())], context, driver, warn)


def launcher(compute: Compute, job: Path) -> list[str]:
    """The command that starts the workers, without its last argument, the job file.

    Raises:
        BenchError: several nodes outside a Slurm allocation.
    """
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={compute.workers}",
        "--max-restarts=0",
    ]
    module = ["-m", "rlp_bench.run.worker"]
    if compute.nodes == 1:
        return [*start, "--standalone", *module]
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise BenchError(
            f"compute.nodes is {compute.nodes}: run the command inside a Slurm allocation of as many nodes (salloc, or "
            "a batch script), with the store on a shared file system; or set compute.nodes to 1"
        )
    found = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]],
        capture_output=True,
        text=True,
        check=True,
    )
    meeting = [
        f"--nnodes={compute.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-id={job.parent.name}",
        f"--rdzv-endpoint={found.stdout.split()[0]}:{PORT}",
    ]
    nodes = ["srun", f"--nodes={compute.nodes}", f"--ntasks={compute.nodes}", "--ntasks-per-node=1"]
    return [*nodes, *start, *meeting, *module]


def _run(
    command: Sequence[str], context: Context, driver: Mapping[str, str], warn: Callable[[str], None]
) -> Mapping[str, float]:
    """Starts the workers, forwards their progress, and returns the metrics reported by rank 0."""
    result: dict[str, Any] = {}
    with (context.scratch / LOG).open("a", encoding="utf-8") as log:
        workers = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8", errors="replace",
            start_new_session=True, env={**os.environ, **driver},
        )  # fmt: skip
        try:
            assert workers.stdout is not None
            for line in workers.stdout:
                printed, mark, message = line.partition(MARK)  # other output may precede
                log.write(printed)
                if not mark:
                    continue
                report = json.loads(message)
                if "done" in report:
                    context.progress(report["done"], report["total"], report["note"])
                result |= {
                    key: value for key, value in report.items() if key in ("metrics", "counters", "error")
                }
            status = workers.wait()
        finally:
            _end(workers)
    if "error" in result:
        raise BenchError(str(result["error"]))
    if "metrics" not in result:
        _raise_failure(context.scratch / LOG, status)
    if status != 0:
        warn(_warning(context.scratch / LOG, status))
    context.meter.count(**result.get("counters", {}))
    metrics: dict[str, float] = result["metrics"]
    return metrics


def _end(workers: "subprocess.Popen[str]") -> None:
    """Ends workers that are still running."""
    if workers.poll() is None:
        os.killpg(workers.pid, signal.SIGTERM)
        try:
            workers.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(workers.pid, signal.SIGKILL)
            workers.wait()


def _raise_failure(log: Path, status: int) -> None:
    text = log.read_text(encoding="utf-8", errors="replace")
    if OUT_OF_MEMORY in text:
        raise BenchError(
            f'training ran out of device memory (log: "{log}"); lower the stage\'s microbatch, set '
            "compute.activation_checkpointing = true, or use more workers with compute.strategy = fsdp; "
            "`rlp-bench plan` shows what each saves"
        )
    if status == -signal.SIGKILL or SIGKILLED in text:
        raise BenchError(f'one of the training processes (log: "{log}") {killed(-signal.SIGKILL)}')
    raise RuntimeError(f"a training process ended with status {status}; the end of {log}:\n{text[-TAIL:]}")


def _warning(log: Path, status: int) -> str:
    """One line, with the end of the log, because the log is deleted when the stage is sealed."""
    tail = " ".join(log.read_text(encoding="utf-8", errors="replace").split()).strip("= ")[-WARNING_TAIL:]
    return (
        f"warning: training processes ended with status {status} after the stage was complete; its result is kept; "
        f"their log ends: {tail}"
    )


def _described(given: Artifact | Sequence[Artifact]) -> Any:
    if isinstance(given, Artifact):
        return {"kind": given.kind, "fingerprint": given.fingerprint, "path": str(given.path.resolve())}
    return [_described(one) for one in given]
