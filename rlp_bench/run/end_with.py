"""A process that ends when the one it works for is gone: a killed run leaves nobody training, or waiting for work."""

import os
import threading
import time

WATCH_SECONDS = 0.5
"""Between two looks."""


def end_with(process: int) -> None:
    """Ends this process within a second of the end of `process`, its parent or another; 0: of none."""

    def watch() -> None:
        while not _is_gone(process, is_parent):
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    is_parent = os.getppid() == process
    if process:
        threading.Thread(target=watch, daemon=True).start()


def _is_gone(process: int, is_parent: bool) -> bool:
    """A dead parent is told by its child's new parent, even while nobody has waited for it."""
    if is_parent:
        return os.getppid() != process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, so it is there
        pass
    return False
