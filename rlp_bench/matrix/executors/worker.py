"""Entry point of worker processes: executes one job, JSON in and JSON out; artifacts go to the store."""

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
    """Executes the job encoded by `executor.encode`; returns JSON {"seconds", ...}, or {"error": line} for user errors.

    Other exceptions are raised.
    """
    given = json.loads(sent)
    try:
        return json.dumps(_made(given))
    except BenchError as error:
        return json.dumps({"error": str(error)})


def _made(given: dict[str, Any]) -> dict[str, Any]:
    if given["exchange"] is not None:
        begin(Path(given["exchange"]), given["key"])
    with suppress(OSError):  # paths in recipes are relative to the driver's working directory
        os.chdir(given["folder"])
    recipe = Recipe.model_validate_json(json.dumps(given["recipe"]))
    return jobs.execute(JobSpec(**given["work"]), recipe, Store(Path(given["root"])))


def look(exchange: str) -> str:
    """This machine's view of the driver, as JSON: {"host", "token" (None if not visible), "versions"}."""
    found = {"host": socket.gethostname(), "token": read_token(Path(exchange)), "versions": versions()}
    return json.dumps(found)


class Requeued:
    """`execute` for submitit: a job that is preempted or reaches its time limit is requeued unchanged."""

    def __call__(self, sent: str) -> str:
        return execute(sent)

    def checkpoint(self, sent: str) -> Any:
        """The same submission again; the job resumes from the store's scratch folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, sent)
