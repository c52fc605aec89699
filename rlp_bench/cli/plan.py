"""`rlp-bench plan`: a method's stages and their predicted resources; runs nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.cli.options import (
    STORE,
    Json,
    MethodName,
    NoCheck,
    RecipeName,
    Seed,
    Sets,
    StoreFolder,
    Strict,
)
from rlp_bench.display import duration, print_json, print_text, show, table

if TYPE_CHECKING:
    from rlp_bench.plan.graph import Plan
    from rlp_bench.store.store import Store

MICRO = "package://rlp_bench.micro/base"
"""The base checkpoint of the shipped cost measurements."""


def plan(
    method: MethodName,
    recipe: RecipeName = "micro",
    seed: Seed = 0,
    overrides: Sets = None,
    lengths: Annotated[
        str, typer.Option("--lengths", help="Expected tokens of a prompt and of a response, e.g. 120,200.")
    ] = "",
    no_check: NoCheck = False,
    strict: Strict = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Print a method's stages, which of them exist, and the memory, time and cost of the others. Runs nothing."""
    registry.origin("method", method)  # reports an unknown name before the imports
    from rlp_bench.api.rows import reading
    from rlp_bench.evaluation.preflight import Scope, preflight
    from rlp_bench.evaluation.preflight import as_json as checks_json
    from rlp_bench.plan.estimate.estimate import predict
    from rlp_bench.plan.estimate.render import as_json as prediction_json
    from rlp_bench.plan.estimate.render import show_prediction
    from rlp_bench.plan.estimate.without_checkpoint import bench_kind
    from rlp_bench.plan.estimate.workload import read_lengths
    from rlp_bench.plan.graph import Bench, build_plan
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.store.store import Store

    read = load_recipe(recipe, overrides or [])
    kind = bench_kind(read)
    absent = kind is not Bench
    with reading(strict) as files:
        made = build_plan(read, method, seed, kind=kind)
        checks = preflight(Scope(read, Store(store), [made], reach=not no_check))
    prediction = predict(made, read_lengths(lengths))
    stages = _stages(made, Store(store), absent)
    if as_json:
        about = {"recipe": read.id, "method": method, "seed": seed, "stages": stages}
        found = {"checkpoint_here": not absent, "checks": checks_json(checks)}
        print_json({**about, **found, "prediction": prediction_json(made, prediction), **files.found()})
        return
    columns = ["stage", "from", "trainer", "makes", "fingerprint", "state", ">CPU"]
    title = f"{method} on {read.id}, seed {seed}"
    show(table(title, columns, [_plan_row(stage) for stage in stages]), _total(stages))
    if absent:
        show(
            f'The checkpoint "{read.base.checkpoint}" is not on this machine: fingerprints are unknown, sizes are from '
            f"{read.base.shape}."
        )
    show_prediction(made, prediction)
    for line in files.lines():
        print_text(line)
    for check in checks:
        if check.error:
            print_text(f"before it can run: {check.error}")


def _stages(plan: "Plan", store: "Store", absent: bool) -> list[dict[str, Any]]:
    """One row per stage: whether it exists, and its cost; `absent`: the base checkpoint is not on this machine."""
    from rlp_bench.plan.measured_cost import Estimate, estimate, measurements
    from rlp_bench.run.runner import is_done

    known = measurements(store)
    stages = []
    for node in plan.nodes:
        cost = estimate(node, plan, known)
        if cost.source == "shipped" and plan.recipe.base.checkpoint != MICRO:
            cost = Estimate(None, "unknown")  # measured on micro, with another model size
        done = is_done(node, store) and not absent
        stages.append(
            {
                "stage": node.label,
                "trainer": node.trainer,
                "kind": node.kind,
                "fingerprint": "" if absent else node.fingerprint,
                "there": done,
                "inputs": [handle.label for handle in node.sources()],
                "cpu_seconds": 0.0 if done else cost.seconds,
                "estimate_from": cost.source,
            }
        )
    return stages


def _plan_row(stage: dict[str, Any]) -> list[str]:
    cost = "" if stage["there"] else duration(stage["cpu_seconds"])
    if stage["estimate_from"] == "shipped" and cost:
        cost = f"about {cost}"
    state = "there" if stage["there"] else "missing"
    inputs = ", ".join(stage["inputs"])
    return [stage["stage"], inputs, stage["trainer"], stage["kind"], stage["fingerprint"][:16], state, cost]


def _total(stages: Sequence[dict[str, Any]]) -> str:
    missing = [stage for stage in stages if not stage["there"]]
    if not missing:
        return "All stages exist."
    known = sum(stage["cpu_seconds"] or 0 for stage in missing)
    unknown = sum(stage["cpu_seconds"] is None for stage in missing)
    if unknown and not known:
        return f"{len(missing)} stages to run; no measurement of similar ones."
    rest = f", and {unknown} of unknown cost" if unknown else ""
    return f"{len(missing)} stages to run: about {duration(known)} of CPU{rest}."
