"""How processes end: workers with their driver, and all of them on SIGTERM as on SIGINT."""

import os
import signal
import threading
import time
from typing import NoReturn

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


def terminate_as_interrupt(once: bool = False) -> None:
    """Makes SIGTERM raise KeyboardInterrupt in this process, as SIGINT does: what was begun is removed.

    Args:
        once: whether a second SIGTERM is ignored, so that it does not disturb the clearing up.
    """

    def interrupt(number: int, frame: object) -> NoReturn:
        if once:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


def killed(status: int) -> str:
    """How a process ended that gave no result, for an error message; `status` as in `subprocess.Popen.returncode`."""
    if status == -signal.SIGKILL:
        return (
            "was killed by signal 9 (SIGKILL), as the system does where memory runs out; give it more memory, fewer "
            "processes at once (--jobs) or a smaller microbatch, then run the same command to resume"
        )
    if status < 0:
        return (
            f"was killed by signal {-status} ({signal.Signals(-status).name}); run the same command to resume"
        )
    return f"ended with status {status} before it had a result; run the same command to resume"
