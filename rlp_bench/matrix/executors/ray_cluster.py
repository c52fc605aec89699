"""Executor on a Ray cluster: an existing one, or one started here and shut down at the end.

A stage is one task on one machine, with the CPUs, GPUs and memory that it needs; it starts its own training processes.
Ray retries a task whose worker was lost, and the stage resumes from its checkpoints.
"""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rlp_bench.api.errors import BenchError
from rlp_bench.display import print_message
from rlp_bench.matrix.executors.executor import Task, encode, failure, package
from rlp_bench.matrix.executors.options import RayOptions, load_options
from rlp_bench.matrix.executors.requirements import Requirements
from rlp_bench.matrix.executors.shared_folder import SharedFolder, unseen
from rlp_bench.matrix.executors.worker import execute, look
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.provenance import versions

CONNECT_SECONDS = 10.0
"""Connection timeout; Ray itself tries for minutes."""
LOOK_SECONDS = 120.0
"""Timeout of the first process on every machine."""
CANCEL_SECONDS = 10.0
"""Grace period for stages to clean up before their processes are killed."""


class RayExecutor:
    """Executes tasks on a Ray cluster."""

    name = "ray"
    slots = 10_000  # Ray queues

    def __init__(self, argument: str, recipe: Recipe, root: Path, jobs: int) -> None:
        in_file = argument.endswith(".toml")
        self.options = load_options(argument, RayOptions) if in_file else RayOptions(address=argument)
        self.recipe, self.root = recipe, root
        address = self.options.address or os.environ.get("RAY_ADDRESS", "")
        self._tasks: dict[Any, tuple[Task, Any]] = {}
        """Ray's reference -> the task, and its placement group, if any."""
        self._ray, self._ours = _connect(address, self.options.cpus or jobs)
        self._grows = bool(address)  # an existing cluster may have an autoscaler
        self._warned: set[Requirements] = set()
        self.exchange = SharedFolder(root)
        try:
            _look_at_all(self._ray, self.exchange, root)
        except BaseException:
            self.close()
            raise
        self._execute = self._ray.remote(execute)

    def check(self, task: Task) -> None:
        """See `Executor`."""
        self._check_fits(task, self._requirements(task))

    def submit(self, task: Task) -> None:
        """See `Executor`."""
        needs = self._requirements(task)
        group = _group(self._ray, needs) if needs.workers > 1 else None
        remote = self._execute.options(
            name=task.name, max_retries=self.options.retries, **_resources(needs), **_in_group(group)
        )
        sent = encode(task, self.recipe, self.root, self.exchange.folder)
        self._tasks[remote.remote(sent)] = (task, group)

    def ended(self, seconds: float) -> Sequence[tuple[str, str]]:
        """See `Executor`."""
        refs = list(self._tasks)
        done, rest = self._ray.wait(refs, num_returns=1, timeout=seconds)
        done += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0] if rest else []
        return [self._answer(ref) for ref in done]

    def running(self) -> set[str]:
        """See `Executor`."""
        return {task.key for task, _ in self._tasks.values() if self.exchange.began(task.key)}

    def close(self) -> None:
        """Cancels remaining tasks: first gracefully, then by force."""
        with suppress(self._ray.exceptions.RayError):
            left = list(self._tasks)
            for ref in left:
                self._ray.cancel(ref, force=False)
            late = self._ray.wait(left, num_returns=len(left), timeout=CANCEL_SECONDS)[1] if left else []
            for ref in late:
                self._ray.cancel(ref, force=True)
            for ref in left:
                self._release(ref)
        self.exchange.close()
        if self._ours:
            self._ray.shutdown()

    def _requirements(self, task: Task) -> Requirements:
        needs, given = task.needs, self.options.memory_gb
        if needs.nodes > 1:
            raise BenchError(
                f"--executor ray: {task.name} trains on {needs.nodes} machines at once, and a Ray task runs on one; "
                "set compute.nodes=1, or give --executor slurm:FILE.toml"
            )
        return needs if given is None else replace(needs, memory_bytes=int(given * 1e9))

    def _check_fits(self, task: Task, needs: Requirements) -> None:
        """Raises BenchError if no machine can run the task; prints a line instead if the cluster may grow."""
        needed = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory_bytes}
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(m.get(k, 0) >= v for k, v in needed.items()) for m in machines):
            return
        largest = {k: max(m.get(k, 0) for m in machines) for k in needed}
        line = f"{task.name} needs {_text(needed)} on one machine; the largest has {_text(largest)}"
        if self._grows:
            if needs not in self._warned:
                self._warned.add(needs)
                print_message(f"{line}: waiting until the cluster has a larger one")
            return
        raise BenchError(
            f"--executor ray: {line}: lower [compute] of the recipe, raise --jobs (the CPUs of a local cluster), "
            "give memory_gb by ray:FILE.toml, or the address of another cluster"
        )

    def _answer(self, ref: Any) -> tuple[str, str]:
        task, _ = self._tasks[ref]
        try:
            answer = str(self._ray.get(ref))
        except self._ray.exceptions.RayTaskError:
            raise  # a bug in a stage; keeps the worker's traceback
        except self._ray.exceptions.RayError as error:
            times = len(self.exchange.began(task.key))
            first = str(error).strip().splitlines()[0]
            answer = failure(
                f"started {times} times, its worker was lost each time ({first}); see Ray's logs"
            )
        self._release(ref)
        return task.key, answer

    def _release(self, ref: Any) -> None:
        _, group = self._tasks.pop(ref)
        if group is not None:
            self._ray.util.remove_placement_group(group)


def _connect(address: str, cpus: int) -> tuple[Any, bool]:
    """Connects to a cluster's address, or to a new local one with `cpus` CPUs; (ray, whether it connected)."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray's name for "not on loopback"
    ray = package("ray")
    if ray.is_initialized():
        return ray, False
    quiet: Mapping[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if not address:
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
        return ray, True
    _check_reachable(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BenchError(
            f'--executor ray: no cluster at "{address}" ({line}); give ray:HOST:PORT or $RAY_ADDRESS, or neither '
            "for a cluster on this machine"
        ) from None
    return ray, True


def _check_reachable(address: str) -> None:
    """Raises BenchError if no server listens at HOST:PORT; skips Ray's names "auto" and "local"."""
    if ":" not in address:
        return
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        socket.create_connection((parts.hostname or "", parts.port or 10001), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise BenchError(
            f'--executor ray: no server answers at "{address}" ({error}); give the address of a running cluster '
            "as ray:HOST:PORT or in $RAY_ADDRESS"
        ) from None


def _look_at_all(ray: Any, exchange: SharedFolder, root: Path) -> None:
    """Checks that every machine sees the store and has the same package versions."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    machines = {n["NodeManagerHostname"]: n["NodeID"] for n in ray.nodes() if n["Alive"]}
    task = ray.remote(look)
    refs = {
        host: task.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(number, soft=False)
        ).remote(str(exchange.folder))
        for host, number in machines.items()
    }
    until = time.monotonic() + LOOK_SECONDS
    for host, ref in refs.items():
        try:
            answer = ray.get(ref, timeout=max(1.0, until - time.monotonic()))
        except ray.exceptions.RayError as error:
            message = str(error).strip().splitlines()[-1]
            raise BenchError(
                f"--executor ray: {host}: cannot run rlp-bench ({message}); install the same packages there as here"
            ) from None
        check_view(json.loads(answer), exchange.token, root)


def check_view(seen: Mapping[str, Any], token: str, root: Path) -> None:
    """Checks that a machine sees the driver's store and has the same versions of packages that results depend on.

    Raises:
        BenchError: it does not.
    """
    if seen["token"] != token:
        raise BenchError(f"--executor ray: {unseen(seen['host'], root)}")
    here = versions()
    theirs = seen["versions"]
    wrong = [
        f"{name} {theirs.get(name, 'none')} (here {here.get(name, 'none')})"
        for name in sorted({*here, *theirs})
        if here.get(name) != theirs.get(name)
    ]
    if wrong:
        raise BenchError(
            f"--executor ray: {seen['host']} has {', '.join(wrong)}; install the same versions on every machine"
        )


def _resources(needs: Requirements) -> dict[str, Any]:
    return {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": needs.memory_bytes}


def _group(ray: Any, needs: Requirements) -> Any:
    """A placement group that reserves all resources of a multi-process stage on one machine."""
    bundle = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory_bytes}
    return ray.util.placement_group([{k: v for k, v in bundle.items() if v}], strategy="STRICT_PACK")


def _in_group(group: Any) -> dict[str, Any]:
    if group is None:
        return {}
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)}


def _text(amounts: Mapping[str, float]) -> str:
    return f"{amounts['CPU']:g} CPUs, {amounts['GPU']:g} GPUs and {amounts['memory'] / 1e9:.1f} GB of memory"
