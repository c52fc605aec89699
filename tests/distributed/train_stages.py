"""`torchrun ... train_stages.py JOBS`: trains the stages of a job file one after the other in the same processes.

What each process sees of the world and of its models goes into seen-RANK.json beside the job file.
"""

import json
import os
import sys
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, ProcessGroup, Prompting, Training
from rlp_bench.recipes.load import load_trainer
from rlp_bench.recipes.trainer_settings import build
from rlp_bench.run.worker import Counts, leave
from rlp_bench.trainers.training import distributed as module

torch.set_num_threads(1)
seen: dict[str, object] = {"shards": {}}
plain = module.shard


def watched(model, low):
    """`shard`, and what became of the parameters."""
    whole = sum(p.numel() for p in model.parameters())
    plain(model, low)
    own = sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in model.parameters())
    seen["shards"][f"{len(seen['shards'])} {type(model).__name__}"] = {
        "all_dtensor": all(isinstance(p, DTensor) for p in model.parameters()),
        "share": own / whole,
    }


module.shard = watched


def killed(after):
    """Progress that ends the process, as a kill would, when so many updates are done."""

    def progress(done, total, note=""):
        if done == after:
            os._exit(9)

    return progress


path = Path(sys.argv[1])
rank = int(os.environ["RANK"])
for job in json.loads(path.read_text()):
    trainer, faults = build(load_trainer(job["trainer"]), job["settings"])
    assert not faults, faults
    inputs = {
        name: [Artifact(**{**one, "path": Path(one["path"])}) for one in given]
        if isinstance(given, list)
        else Artifact(**{**given, "path": Path(given["path"])})
        for name, given in job["inputs"].items()
    }
    out, scratch = path.parent / job["out"], path.parent / f"{job['out']}-scratch"
    if rank == 0:
        out.mkdir(exist_ok=True)
        scratch.mkdir(exist_ok=True)
    context = Context(
        seed=job["seed"], device="cpu", prompting=Prompting(**job["prompting"]), scratch=scratch,
        progress=killed(job.get("kill_after")), meter=Counts(), engine=None, training=Training(**job["training"]),
        process_group=ProcessGroup(rank, int(os.environ["WORLD_SIZE"]), job["strategy"]),
    )  # fmt: skip
    metrics = trainer.train(inputs, out, context)
    if rank == 0:
        (out / "metrics.json").write_text(json.dumps(metrics))
together = torch.distributed.is_initialized()
seen["world"] = torch.distributed.get_world_size() if together else 1
seen["backend"] = torch.distributed.get_backend() if together else ""
(path.parent / f"seen-{rank}.json").write_text(json.dumps(seen))
leave()
