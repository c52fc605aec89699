"""The entry by which a process anywhere does one job of a graph: JSON in, JSON out, everything else in the store."""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.matrix import jobs
from rlp_bench.matrix.executors.shared_folder import begin, read_token
from rlp_bench.matrix.jobs import JobSpec
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.provenance import versions
from rlp_bench.store.store import Store


def execute(sent: str) -> str:
    """Does the job that `rlp_bench.matrix.executors.executor.encode` describes: {"seconds", ...}, or {"error": line}.

    What is no person's mistake rises here, with its traceback.
    """
    given = json.loads(sent)
    try:
        return json.dumps(_made(given))
    except BenchError as error:
        return json.dumps({"error": str(error)})


def _made(given: dict[str, Any]) -> dict[str, Any]:
    if given["exchange"] is not None:
        begin(Path(given["exchange"]), given["key"])
    with suppress(OSError):  # paths in recipes are read from where the command was given
        os.chdir(given["folder"])
    recipe = Recipe.model_validate_json(json.dumps(given["recipe"]))
    return jobs.execute(JobSpec(**given["work"]), recipe, Store(Path(given["root"])))


def look(exchange: str) -> str:
    """What this machine sees of the driver: {"host", "token" (None where it is not there), "versions"}."""
    found = {"host": socket.gethostname(), "token": read_token(Path(exchange)), "versions": versions()}
    return json.dumps(found)


class Requeued:
    """`execute` as submitit is given it: preempted or out of time, the job goes back into the queue as it was."""

    def __call__(self, sent: str) -> str:
        return execute(sent)

    def checkpoint(self, sent: str) -> Any:
        """The same order again; what it has done lies in the store's scratch."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, sent)
