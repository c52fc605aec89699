"""`python -m rlp_bench.run.worker JOB`: one worker process of distributed training, started by `torchrun`.

Rank 0 reports progress, metrics and user errors on stdout, one line of JSON each.
"""

import contextlib
import json
import os
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from rlp_bench.api.errors import BenchError
from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, ProcessGroup, Prompting, Training
from rlp_bench.recipes.load import load_trainer
from rlp_bench.recipes.trainer_settings import build
from rlp_bench.run.end_with import end_with
from rlp_bench.run.launcher import DRIVER, MARK
from rlp_bench.run.runner import set_threads


class Counts(Counter[str]):
    """A meter with counters only; the driver process measures seconds and memory."""

    def count(self, **amounts: float) -> None:
        """Adds to named counters."""
        self.update(amounts)


def say(**what: Any) -> None:
    """Sends one message to the driver process."""
    sys.stdout.write(MARK + json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Trains the stage; returns 0, or 3 after a user error, which it reports to the driver."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rank = int(os.environ["RANK"])
    end_with(int(os.environ.get(DRIVER, "0")))
    set_threads(job["threads"])
    meter = Counts()
    context = Context(
        seed=job["seed"],
        device=_device(job["device"]),
        prompting=Prompting(**job["prompting"]) if job["prompting"] else None,  # type: ignore[arg-type]
        scratch=Path(job["scratch"]),
        progress=(lambda done, total, note="": say(done=done, total=total, note=note))
        if rank == 0
        else _silent,
        meter=meter,
        engine=None,  # type: ignore[arg-type]
        training=Training(**{**job["training"], "lora_targets": tuple(job["training"]["lora_targets"])}),
        process_group=ProcessGroup(
            rank, int(os.environ["WORLD_SIZE"]), job["strategy"], job["activation_checkpointing"]
        ),
    )
    trainer, faults = build(load_trainer(job["trainer"]), job["settings"])
    if faults:
        raise RuntimeError(f"settings validated by the driver are invalid here: {faults}")
    inputs = {name: _artifacts(given) for name, given in job["inputs"].items()}
    try:
        metrics = trainer.train(inputs, Path(job["out"]), context)
    except BenchError as error:
        say(error=str(error))
        return 3
    if rank == 0:
        say(metrics=dict(metrics), counters=dict(meter))
    _destroy_process_group()
    return 0


def run() -> NoReturn:
    """Runs `main` and ends the process; after a bug with the traceback on stderr and status 1."""
    status = 1
    try:
        status = main()
    except BaseException:
        traceback.print_exc()
    leave(status)


def leave(status: int = 0) -> NoReturn:
    """Flushes the output streams and ends a process that was in a process group, without interpreter shutdown.

    Normal shutdown finalizes the interpreter while gloo's thread may still need the GIL to free a tensor; Python 3.11
    then ends that thread within a C++ frame that may not throw, and the process aborts. Destroying the group does not
    help, because FSDP's device mesh keeps a reference to it.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader is gone
            stream.flush()
    os._exit(status)


def _device(device: str) -> str:
    """The device of this process; one CUDA device per local rank."""
    if not device.startswith("cuda"):
        return device
    import torch

    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return f"cuda:{os.environ['LOCAL_RANK']}"


def _artifacts(given: Any) -> Artifact | list[Artifact]:
    if isinstance(given, list):
        return [Artifact(one["kind"], one["fingerprint"], Path(one["path"])) for one in given]
    return Artifact(given["kind"], given["fingerprint"], Path(given["path"]))


def _destroy_process_group() -> None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _silent(done: int, total: int, note: str = "") -> None:
    """Progress callback of ranks other than 0: does nothing."""


if __name__ == "__main__":
    run()
