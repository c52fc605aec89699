"""`--policy openai:MODEL`: an OpenAI-compatible endpoint as the policy, with a recipe's prompt and decoding.

The policy is stored as a folder with the endpoint's parameters. Its fingerprint covers everything that can change an
answer, but not the API key or speed settings. Answers are also in the endpoint's cache, so an interrupted evaluation
resumes at the next item.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.documents import read_text
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import write_json
from rlp_bench.api.protocols import Progress
from rlp_bench.api.report import Report
from rlp_bench.api.types import Artifact
from rlp_bench.endpoint import Connection
from rlp_bench.endpoint.options import MODEL, SET_ELSEWHERE, connection_of, model_of, omitted, read_options
from rlp_bench.endpoint.request import canonical
from rlp_bench.evaluation.evaluator import Evaluation
from rlp_bench.evaluation.kinds.table import kind_of
from rlp_bench.evaluation.resolve import load_suite
from rlp_bench.evaluation.without_recipe import evaluation_recipe, with_settings
from rlp_bench.recipes.schema import Recipe
from rlp_bench.store.store import Store, fingerprint

ENGINE = "openai"
OPTIONS: dict[str, type] = {
    **MODEL,
    **SET_ELSEWHERE,
    "system": str,
}


def is_endpoint(policy: str) -> bool:
    """Whether --policy is an endpoint rather than a folder."""
    return policy.startswith(f"{ENGINE}:")


def read_endpoint(policy: str, base_url: str | None) -> tuple[dict[str, Any], Connection]:
    """(parameters that change answers, connection) of "openai:MODEL,option=value,...".

    Raises:
        DataError: no model is given.
    """
    where = f'policy "{policy}"'
    options = read_options(where, policy.partition(":")[2], OPTIONS)
    if base_url:
        options["base_url"] = base_url
    if not options.get("model"):
        raise DataError(f"{where}: needs a model, e.g. --policy openai:gpt-4.1-2025-04-14")
    connection = connection_of(options)
    about = {
        **model_of(options, connection),
        "snapshot": options.get("snapshot") or options["model"],
        "system": _system(options.get("system", "")),
        **({"omit": omitted(options)} if omitted(options) else {}),
    }
    return about, connection


def _system(given: str) -> str:
    """The system prompt: the content of a file if `given` is its path, otherwise `given` itself."""
    return read_text(Path(given)).strip() if given and Path(given).is_file() else given


def seal_endpoint(store: Store, about: Mapping[str, Any]) -> Artifact:
    """The endpoint policy as a stored artifact."""
    identity = {"trainer": "endpoint", "version": 1, "endpoint": dict(about)}

    def build(folder: Path) -> Mapping[str, float]:
        write_endpoint(folder, about)
        return {}

    return store.make("policy", fingerprint(identity), build, identity)


def write_endpoint(folder: Path, about: Mapping[str, Any]) -> None:
    """Writes endpoint.json, from which the engine reads the endpoint's parameters."""
    write_json(folder / "endpoint.json", json.loads(canonical(about)))


def make_endpoint_engine(connection: Connection, progress: Progress | None = None) -> Any:
    """The engine that sends requests to the endpoint."""
    engine = registry.load("engine", ENGINE)(connection=connection)
    engine.progress = progress
    return engine


def endpoint_suites(policy: str, recipe: Recipe, suites: Sequence[str] | None) -> list[str]:
    """The suites to evaluate; by default those of the recipe that need no log-probabilities of given texts.

    Raises:
        DataError: a suite in `suites` needs them.
    """
    names = list(dict.fromkeys(suites or recipe.evaluation.suites or recipe.suites))
    loaded = {name: load_suite(name, recipe.suites) for name in names}
    able = [name for name, suite in loaded.items() if kind_of(name, suite.kind).by_writing(suite)]
    if suites and able != names:
        wrong = next(name for name in names if name not in able)
        raise DataError(
            f'policy "{policy}": suite "{wrong}" needs log-probabilities of given texts, which an endpoint does not '
            "give; leave it out"
        )
    return able


def evaluate_endpoint(
    policy: str,
    *,
    base_url: str | None,
    suites: Sequence[str] | None,
    judge: str | None,
    order: str | None,
    recipe: str | None,
    overrides: Sequence[str],
    store: Store,
    progress: Progress,
    allow_missing: bool = False,
) -> Report:
    """The report on an endpoint policy."""
    about, connection = read_endpoint(policy, base_url)
    found, named = evaluation_recipe(policy, suites, judge, recipe, overrides, endpoint=True)
    names = endpoint_suites(policy, found, suites)
    asked = found.model_copy(update={"engine": found.engine.model_copy(update={"name": ENGINE})})
    engine = make_endpoint_engine(connection, progress)
    evaluation = Evaluation(store, asked, engine, judge, order, progress, allow_missing)
    artifact = seal_endpoint(store, about)
    report: Report = {
        "source": {"policy": policy, "endpoint": about, "fingerprint": artifact.fingerprint},
        "suites": evaluation.suites(names, artifact, None),
    }
    return with_settings(report, found, named)
