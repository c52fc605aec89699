"""Python reads this when it starts: the stage that a test kills stops after its first checkpoint, but only once.

A kill at the right moment would otherwise depend on who is quicker.
"""

import os
import time
from pathlib import Path
from typing import Any

_rename = os.rename


def rename(source: Any, target: Any, **more: Any) -> None:
    """`os.rename`, by which a checkpoint becomes visible."""
    _rename(source, target, **more)
    folder = Path(os.fsdecode(target))
    if folder.name.startswith("checkpoint-") and folder.parent.name == os.environ["RLP_BENCH_TEST_VICTIM"]:
        mark = folder.parent / "stuck"
        if not mark.exists():
            mark.touch()
            time.sleep(900)


os.rename = rename
