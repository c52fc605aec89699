"""Ends a worker process when its driver process has ended, so that a killed run leaves no workers behind."""

import os
import threading
import time

WATCH_SECONDS = 0.5
"""Polling interval."""


def end_with(process: int) -> None:
    """Ends this process within a second after `process` (a process id) has ended; 0: does nothing."""

    def watch() -> None:
        while not _is_gone(process, is_parent):
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    is_parent = os.getppid() == process
    if process:
        threading.Thread(target=watch, daemon=True).start()


def _is_gone(process: int, is_parent: bool) -> bool:
    """Whether the process has ended; a parent has if this process has a new parent, even before it is reaped."""
    if is_parent:
        return os.getppid() != process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # owned by another user, so it exists
        pass
    return False
