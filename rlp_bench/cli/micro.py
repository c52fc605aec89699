"""`rlp-bench micro pretrain`: trains the base model of the micro world from scratch."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.api.errors import BenchError
from rlp_bench.display import Display, duration, show


def pretrain(
    out: Annotated[Path, typer.Option("--out", help="Folder for the checkpoint.")],
) -> None:
    """Pre-train the micro world's base model, as the shipped one was."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BenchError(f'micro pretrain --out "{out}": exists and is not empty; give another folder')
    from rlp_bench.run.runner import set_threads

    set_threads(1)
    from rlp_bench.micro.pretrain import pretrain as pretrain_base

    with Display() as display:
        task = display.task("pretrain")
        summary = pretrain_base(out, progress=lambda done, total, loss: task(done, total, f"loss {loss:.3f}"))
        task.close()
    spent = summary.get("cpu_seconds") or summary.get("seconds", {}).get("cpu_seconds")
    show(f"{out}: base model in {duration(spent)} of CPU; use it with `--set base.checkpoint={out}`")
