"""A stage of a stranger's that many processes train together, and that ends as its settings say."""

import atexit
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Context, write_json
from rlp_bench.api.errors import BenchError
from rlp_bench.plan.graph import Bench, Handle, method


@dataclass(frozen=True)
class Faulty:
    """Trains nothing."""

    name: ClassVar[str] = "faulty"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy"}
    output: ClassVar[str] = "policy"
    uses: ClassVar[tuple[str, ...]] = ()
    distributed: ClassVar[bool] = True

    end: str = ""
    """"finalised": aborts where Python finalises; "after": the last process aborts once the first has ended;
    "before": it aborts at work; "bug", "user": raises."""

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes one file."""
        last = context.process_group.rank == context.process_group.size - 1
        if self.end == "finalised":
            atexit.register(os.abort)
        if self.end == "after":
            at_the_end(
                lambda: abort_after(context.scratch / "told") if last else told(context.scratch / "told")
            )
        if self.end == "before" and last:
            os.abort()
        if self.end == "bug":
            raise ValueError("three is not two")
        if self.end == "user":
            raise BenchError("faulty: end is user; expected another; choose one")
        if context.process_group.rank == 0:
            write_json(out / "parrot.json", {"answers": {}, "seed": context.seed})
            print("words of another process", end="", flush=True)
        if self.end == "before":
            time.sleep(600)  # the launcher ends it
        return {"answers": 7.0}


def at_the_end(act: Any) -> None:
    """Acts when all is said, however the process is about to leave."""
    leave, done = os._exit, []

    def once(status: int = 0) -> None:
        if not done:
            done.append(status)
            act()

    atexit.register(once)
    os._exit = lambda status: (once(status), leave(status))  # type: ignore[assignment,misc]


def told(mark: Path) -> None:
    """The first process has told its metrics."""
    mark.write_text("")


def abort_after(mark: Path) -> None:
    """As a thread of gloo did under Python's finalisation."""
    while not mark.exists():
        time.sleep(0.02)
    os.abort()


@method("faulty", source="nowhere")
def faulty(bench: Bench) -> Handle:
    """One stage."""
    return bench.fit("faulty", init=bench.base)
