"""Folder shared by a driver and its worker processes: ROOT/cluster/<driver>/ in the store.

token            random; a worker that cannot read it does not see the driver's store
<key>.began      one line "host pid" for each start of the job
jobs/            submitit's files: jobs and their logs
"""

import os
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import write_text
from rlp_bench.store.store import Store, fingerprint

FOLDER = "cluster"
TOKEN = "token"


class SharedFolder:
    """The driver's side of the shared folder."""

    def __init__(self, root: Path) -> None:
        moment = time.strftime("%Y%m%d-%H%M%S")
        self.token = secrets.token_hex(8)
        self.folder = root / FOLDER / f"{moment}-{self.token[:6]}"
        with Store(root).errors_as_lines():
            self.folder.mkdir(parents=True)
            write_text(self.folder / TOKEN, self.token + "\n")

    def began(self, key: str) -> list[str]:
        """ "host pid" of every process that has started the job."""
        try:
            return mark(self.folder, key).read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def close(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # it contains another driver's folder
            self.folder.parent.rmdir()


def mark(folder: Path, key: str) -> Path:
    """The file that marks a started job; a stage's has the name of its scratch folder."""
    name = key[:16] if "/" not in key else fingerprint(key)[:16]
    return folder / f"{name}.began"


def begin(folder: Path, key: str) -> None:
    """Marks a job as started; called by workers.

    Raises:
        BenchError: the driver's folder is not visible.
    """
    if read_token(folder) is None:
        raise BenchError(unseen(socket.gethostname(), folder.parents[1]))
    with mark(folder, key).open("a") as file:
        file.write(f"{socket.gethostname()} {os.getpid()}\n")


def read_token(folder: Path) -> str | None:
    """The driver's token; None if it is not visible from here."""
    try:
        return (folder / TOKEN).read_text().strip()
    except OSError:
        return None


def unseen(host: str, root: Path) -> str:
    """The error message for a machine that does not see the store."""
    return (
        f'{host}: does not see the driver\'s store "{root}"; give a --store on a file system that all machines '
        "share, under the same path"
    )
