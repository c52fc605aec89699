"""One of two processes that train a stage in shards; writes down the most bytes that its tensors held after reading."""

import json
import os
import sys
from pathlib import Path

import torch
from live_bytes import LiveBytes

from rlp_bench.api.protocols import Context
from rlp_bench.api.types import ProcessGroup, Prompting, Training
from rlp_bench.run.worker import leave
from rlp_bench.trainers.training.distributed import Processes

torch.set_num_threads(1)


def main() -> None:
    from runs import Meter
    from test_against_runs import STAGES

    job = json.loads(sys.argv[1])
    rank = int(os.environ["RANK"])
    root = Path(job["root"]) / str(rank)
    root.mkdir()
    training = Training(job["precision"])
    run = STAGES[job["stage"]](
        root, Path(job["base"]), job["d"], job["prompt"], job["response"], training=training
    )
    out = Path(job["root"]) / f"out-{rank}"
    out.mkdir()
    live = LiveBytes(resizes=True)
    prepared = Processes.prepare

    def prepare(self: Processes, *given, **named):
        """Reading is over when the last model is prepared: what was seen before does not count."""
        model = prepared(self, *given, **named)
        live.peak = live.now
        return model

    Processes.prepare = prepare  # type: ignore[method-assign]
    context = Context(
        seed=0, device="cpu", prompting=Prompting("{instruction}", "", job["prompt"], job["response"]),
        scratch=Path(job["root"]) / "scratch", progress=lambda *_: None, meter=Meter(), engine=None, training=training,
        process_group=ProcessGroup(rank, int(os.environ["WORLD_SIZE"]), "fsdp", job["checkpointing"]),
    )  # fmt: skip
    whole = Processes.whole

    class Enough(Exception):
        pass

    def stop(self: Processes, model):
        """Gathering the result is not part of what is measured."""
        raise Enough

    Processes.whole = stop  # type: ignore[method-assign]
    try:
        with live:
            run.stage.train(run.inputs, out, context)
    except Enough:
        pass
    Processes.whole = whole  # type: ignore[method-assign]
    (Path(job["root"]) / f"peak-{rank}.json").write_text(json.dumps({"rank": rank, "peak": live.peak}))


main()
leave()
