"""`rlp-bench eval --dry-run`: the requests of an evaluation and an upper bound on their cost; nothing is sent.

Existing answers (`--outputs`) are counted as they are. Answers that are yet to be generated are assumed to have the
recipe's maximum length, at 4 bytes per token. A judge without costs has no `estimate`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import BYTES_A_TOKEN, Item, Pair
from rlp_bench.evaluation import targets as command
from rlp_bench.evaluation.endpoint_policy import (
    endpoint_suites,
    is_endpoint,
    make_endpoint_engine,
    read_endpoint,
    write_endpoint,
)
from rlp_bench.evaluation.kinds.kind import Prompts
from rlp_bench.evaluation.kinds.table import kind_of
from rlp_bench.evaluation.outputs import match_outputs, read_outputs_file
from rlp_bench.evaluation.resolve import load_judge, load_suite, rows_left_out
from rlp_bench.evaluation.without_recipe import evaluation_recipe
from rlp_bench.recipes.load import load_recipe
from rlp_bench.store.store import Store

COSTS = ("to_send", "prompt_tokens_at_most", "completion_tokens_at_most", "dollars_at_most")


def estimate(
    *,
    suites: Sequence[str] | None,
    run: str | None,
    policy: str | None,
    outputs: Path | None,
    judge: str | None,
    order: str | None,
    allow_missing: bool,
    data: Path | None,
    recipe: str | None,
    overrides: Sequence[str],
    base_url: str | None,
    store: Store,
) -> dict[str, Any]:
    """One row per suite and judge, one per suite for the answers of an endpoint policy, and the total."""
    if outputs is not None:
        rows = _of_outputs(outputs, suites, judge, order, allow_missing, data, recipe, overrides)
    else:
        rows = _of_policy(run, policy, suites, judge, order, recipe, overrides, base_url, store)
    return {"dry_run": True, "rows": rows, "total": {name: _sum(rows, name) for name in COSTS}}


def _of_outputs(
    outputs: Path, suites: Sequence[str] | None, judge: str | None, order: str | None, allow_missing: bool,
    data: Path | None, recipe: str | None, overrides: Sequence[str],
) -> list[dict[str, Any]]:  # fmt: skip
    aliases: Mapping[str, str] = {}
    if data is None:
        found = load_recipe(recipe or command.DEFAULT_RECIPE, overrides)
        aliases, judge, order = found.suites, judge or found.judge.name, order or found.judge.order
    if judge is None:
        raise BenchError("eval --dry-run --data: no judge; give --judge NAME, e.g. --judge chat:MODEL")
    answers = read_outputs_file(outputs)
    rows = []
    for alias in suites or [command.DEFAULT_SUITE]:
        suite = load_suite(alias if data is None else f"{alias}:{data}", aliases)
        kind = kind_of(alias, suite.kind)
        items = [item for item in suite.items() if isinstance(item, Item)]
        dropped = rows_left_out(suite)
        texts = match_outputs(
            outputs, items, answers, allow_missing=allow_missing, dropped_items=dropped
        ).rows
        known = {key: str(row["output"]) for key, row in texts.items()}
        if kind.pairs is not None:
            rows.append(_of_judge(alias, judge, kind.pairs(items, known, order or "both")))
    return rows


def _of_policy(
    run: str | None, policy: str | None, suites: Sequence[str] | None, judge: str | None, order: str | None,
    recipe: str | None, overrides: Sequence[str], base_url: str | None, store: Store,
) -> list[dict[str, Any]]:  # fmt: skip
    if policy is None:
        from rlp_bench.run.records import find_run

        found = find_run(store, run).recipe
    else:
        endpoint = is_endpoint(policy)
        found, _ = evaluation_recipe(policy, suites, judge, recipe, overrides, endpoint=endpoint)
    names = list(dict.fromkeys(suites or found.evaluation.suites or found.suites))
    if policy is not None and is_endpoint(policy):
        names = endpoint_suites(policy, found, suites)
    rows = []
    for alias in names:
        suite = load_suite(alias, found.suites)
        kind = kind_of(alias, suite.kind)
        if kind.prompts is not None and policy is not None and is_endpoint(policy):
            engine = make_endpoint_engine(read_endpoint(policy, base_url)[1])
            prompts = kind.prompts(
                engine, suite, suite.items(), found.stage_prompting(), found.evaluation_decoding(),
                found.decoding.seed,
            )  # fmt: skip
            rows.append({"suite": alias, "asked": policy, **_answers(policy, base_url, prompts)})
        if kind.pairs is None:
            continue
        items = [item for item in suite.items() if isinstance(item, Item)]
        longest = "x" * (BYTES_A_TOKEN * found.evaluation_decoding().max_response_tokens)
        for name in (judge or found.judge.name, *found.evaluation.second_judges):
            known = {item.id: longest for item in items}
            rows.append(_of_judge(alias, name, kind.pairs(items, known, order or found.judge.order)))
    return rows


def _answers(policy: str, base_url: str | None, prompts: Prompts) -> dict[str, Any]:
    about, connection = read_endpoint(policy, base_url)
    engine = make_endpoint_engine(connection)
    with TemporaryDirectory() as folder:
        write_endpoint(Path(folder), about)
        requests = engine.requests(Path(folder), prompts.texts, prompts.decoding, seed=prompts.seed)
    found: dict[str, Any] = engine.endpoint.estimate(requests)
    return found


def _of_judge(suite: str, name: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    offered = getattr(load_judge(name), "estimate", None)
    found = offered(pairs) if offered is not None else dict.fromkeys(COSTS, 0)
    return {"suite": suite, "asked": name, "requests": len(pairs), **found}


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows]
    return None if None in values else sum(values)
