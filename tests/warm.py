"""Processes that need no seconds to import torch: a server has the libraries and forks itself for each call.

What it starts is a process of its own, with its own folder, environment and output; only its imports are there
already, and what libraries read from the environment as they were imported (`HF_*`), and the pool of processes that a
command starts is forked, too. Where a test is about just that, about signals, or about the start or the end of an
interpreter, it starts a real one.

    python warm.py serve SOCKET                         the server; it ends when nobody holds it any more
    python warm.py call SOCKET RANKS TARGET ARGUMENT... one call, as a command
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from patience import PATIENCE

Shared = Callable[[str, Callable[[Path], None]], Path]
"""The fixture `shared`: (name, make) -> a folder that `make(folder)` fills once in a test run."""
COMMAND_LINE = "rlp-bench"
LIBRARIES = (
    "torch",
    "torch._dynamo",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "transformers",
    "transformers.generation",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "safetensors.torch",
    "pandas",
    "scipy.stats",
    "scipy.optimize",
    "pydantic",
    "rich.console",
    "rich.table",
    "rich.progress",
    "typer",
)


def environment(*paths: Path) -> dict[str, str]:
    """The tests' environment with these folders on the path; no store of the person who runs the tests."""
    env = {name: value for name, value in os.environ.items() if name != "RLP_BENCH_STORE"}
    return {**env, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


class Warm:
    """A server's other end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = _connect(path)
        self._held.send(b"hold")

    @staticmethod
    def launch(path: Path) -> None:
        """Starts a server; it answers when it has the libraries."""
        command = [sys.executable, __file__, "serve", str(path)]
        quiet = subprocess.DEVNULL
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(
            command, check=True, stdin=quiet, stdout=quiet, stderr=quiet, env=env, start_new_session=True
        )

    def close(self) -> None:
        """The server may end."""
        self._held.close()

    def command(self, target: str | Path, ranks: int = 0) -> list[str]:
        """The beginning of a command that does `python TARGET`, or `torchrun TARGET` of so many processes."""
        return [sys.executable, "-S", "-E", __file__, "call", str(self.path), str(ranks), str(target)]

    def run(
        self,
        *arguments: object,
        target: str | Path = COMMAND_LINE,
        ranks: int = 0,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> "subprocess.CompletedProcess[str]":
        """`rlp-bench ARGUMENTS`, or what else is the target: a script's path, or a module's name.

        Raises:
            subprocess.TimeoutExpired: all that it started was killed.
        """
        given = [str(one) for one in arguments]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            status = _call(self.path, target, given, ranks, cwd, env, (out.fileno(), err.fileno()), timeout)
            if status is None:
                raise subprocess.TimeoutExpired([str(target), *given], timeout)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess([str(target), *given], status, out.read(), err.read())

    def start(self, *arguments: object, cwd: Path, env: Mapping[str, str]) -> "Started":
        """`rlp-bench ARGUMENTS` in a process group of its own, without waiting for it."""
        return Started(self.path, [str(one) for one in arguments], cwd, env)


class Started:
    """A command that was started: what the tests need of `subprocess.Popen`."""

    def __init__(self, path: Path, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._outputs = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        numbers = (self._outputs[0].fileno(), self._outputs[1].fileno())
        self._server = _asked(path, COMMAND_LINE, arguments, 0, cwd, env, numbers, group=True)
        self.args = [COMMAND_LINE, *arguments]
        self.pid = int(self._server.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, if it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._server.recv(64) or b"1")
            self._server.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Standard output and error, at its end."""
        self.wait(timeout)
        for file in self._outputs:
            file.seek(0)
        return self._outputs[0].read(), self._outputs[1].read()

    def kill(self) -> None:
        """Ends it, if it did not end."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Cold:
    """The same by real starts, where libraries do not survive a fork."""

    def command(self, target: str | Path, ranks: int = 0) -> list[str]:
        """See `Warm`."""
        if target == COMMAND_LINE:
            return [str(Path(sys.executable).parent / COMMAND_LINE)]
        launcher = (
            ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks else []
        )
        what = [str(target)] if str(target).endswith(".py") else ["-m", str(target)]
        return [sys.executable, *launcher, *what]

    def run(
        self,
        *arguments: object,
        target: str | Path = COMMAND_LINE,
        ranks: int = 0,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> "subprocess.CompletedProcess[str]":
        """See `Warm`."""
        command = [*self.command(target, ranks), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout)

    def start(self, *arguments: object, cwd: Path, env: Mapping[str, str]) -> "subprocess.Popen[str]":
        """See `Warm`."""
        return subprocess.Popen(
            [*self.command(COMMAND_LINE), *map(str, arguments)],
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # a runner in the background ignores interrupts, and its children would inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def close(self) -> None:
        """Nothing is held."""


def _connect(path: Path) -> socket.socket:
    until = time.monotonic() + PATIENCE
    while True:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            found.connect(str(path))
            return found
        except OSError:
            found.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _asked(
    path: Path, target: str | Path, arguments: Sequence[str], ranks: int, cwd: Path | None,
    env: Mapping[str, str] | None, outputs: tuple[int, int], group: bool = False,
) -> socket.socket:  # fmt: skip
    """Where the exit status will be said; `group`: the process id before it. Whoever hangs up ends what was started."""
    request = {
        "target": str(target),
        "arguments": list(arguments),
        "ranks": ranks,
        "cwd": str(cwd or Path.cwd()),
        "env": dict(os.environ if env is None else env),
        "group": group,
    }
    server = _connect(path)
    socket.send_fds(server, [json.dumps(request).encode()], outputs)
    return server


def _call(
    path: Path, target: str | Path, arguments: Sequence[str], ranks: int, cwd: Path | None,
    env: Mapping[str, str] | None, outputs: tuple[int, int], timeout: float | None,
) -> int | None:  # fmt: skip
    """The exit status; None if it took too long."""
    with _asked(path, target, arguments, ranks, cwd, env, outputs) as server:
        if not select.select([server], [], [], timeout)[0]:
            return None
        return int(server.recv(64) or b"1")


def serve(path: Path) -> None:
    """Forks for each request, until nobody holds it; no child of who launched it, whose CPU time is measured."""
    if os.fork():
        os._exit(0)
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen(64)
    holders: list[socket.socket] = []
    while True:
        ready, _, _ = select.select([listener, *holders], [], [], None if holders else PATIENCE)
        for gone in set(ready) - {listener}:
            holders.remove(gone)
            gone.close()
        if listener in ready:
            caller, _ = listener.accept()
            message, fds, _, _ = socket.recv_fds(caller, 1 << 20, 2)
            if message == b"hold":
                holders.append(caller)
                continue
            if message and os.fork() == 0:
                for each in (listener, *holders):
                    each.close()
                _watch(json.loads(message), caller, fds)
            caller.close()
            for fd in fds:
                os.close(fd)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        if not holders:
            break
    path.unlink()
    path.parent.rmdir()  # made for the socket alone
    os._exit(0)


def _watch(request: dict[str, Any], caller: socket.socket, outputs: Sequence[int]) -> None:
    """Starts what was asked for and says how it ended; the first failure ends all, and so does a caller who goes."""
    ranks = request["ranks"]
    ports = [os.pipe() for _ in range(ranks)]
    running: dict[int, int] = {}
    for rank in range(max(1, ranks)):
        pid = os.fork()
        if pid == 0:
            caller.close()
            for port in ports:
                os.close(port[1])
            if request["group"]:
                os.setsid()
            _become(request, outputs, rank, ports[rank][0] if ranks else None)
        running[os.pidfd_open(pid)] = pid
        if request["group"]:
            caller.send(str(pid).encode())
    if ranks:  # as torchrun does: the meeting place is in the process that waits
        from torch.distributed import TCPStore

        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        for _, port in ports:
            os.write(port, f"{store.port}\n".encode())
    status, asked = 0, True
    while running:
        ready, _, _ = select.select([*running, *([caller] if asked else [])], [], [])
        for fd in set(ready) & set(running):
            _, ended = os.waitpid(running.pop(fd), 0)
            os.close(fd)
            code = os.waitstatus_to_exitcode(ended)
            if code and not status:
                status = code
                _signal(running, signal.SIGTERM)
        if caller in ready:
            asked = False
            _signal(running, signal.SIGKILL)
    with contextlib.suppress(OSError):
        caller.send(str(status).encode())
    os._exit(0)


def _signal(running: Mapping[int, int], what: int) -> None:
    for pid in running.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def _become(request: dict[str, Any], outputs: Sequence[int], rank: int, port: int | None) -> None:
    """Is the process that was asked for, to its end."""
    for number, fd in enumerate(outputs, 1):
        os.dup2(fd, number)
        os.close(fd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as at the start of an interpreter
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[:0] = [each for each in request["env"].get("PYTHONPATH", "").split(os.pathsep) if each]
    status = 1
    try:
        if port is not None:
            with open(port) as said:
                _join(rank, request["ranks"], said.readline().strip())
        status = _main(request["target"], request["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # as an interpreter does at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _join(rank: int, ranks: int, port: str) -> None:
    """What `torchrun` tells a process."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_WORLD_SIZE=str(ranks)
    )
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, TORCHELASTIC_USE_AGENT_STORE="True")


def _main(target: str, arguments: Sequence[str]) -> int:
    """The exit status."""
    import runpy

    try:
        if target == COMMAND_LINE:
            import multiprocessing

            whole = multiprocessing.get_context
            multiprocessing.get_context = lambda method=None: whole("fork" if method == "spawn" else method)
            from rlp_bench.cli.main import main

            sys.argv = [str(Path(sys.executable).parent / "rlp-bench"), *arguments]
            main()
        elif target.endswith(".py"):
            sys.argv = [target, *arguments]
            sys.path.insert(0, str(Path(target).parent))
            runpy.run_path(target, run_name="__main__")
        else:
            sys.argv = [target, *arguments]
            runpy.run_module(target, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 255
        sys.stderr.write(f"{end.code}\n")
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]))
    else:
        socket_path, count, what, *rest = sys.argv[2:]
        ended = _call(Path(socket_path), what, rest, int(count), None, None, (1, 2), None)
        sys.exit(128 - ended if ended is not None and ended < 0 else ended)
