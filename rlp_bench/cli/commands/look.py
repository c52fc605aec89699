"""`plan`, `ls` and `validate`: they look, and change nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, RecipeError, UnknownName, nearest
from rlp_bench.display import duration, print_json, show, size, table

MICRO = "package://rlp_bench.micro/base"
"""The base on which the shipped costs were measured."""
LISTS = ("recipes", "artifacts", "runs")


def plan_command(
    method: str,
    recipe_name: str,
    seed: int,
    overrides: Sequence[str],
    root: Path,
    as_json: bool,
    lengths: str = "",
) -> None:
    """Prints the stages of a method with what is there, what the rest will cost, and what each needs of a device."""
    registry.origin("method", method)
    from rlp_bench.plan.estimate.estimate import predict
    from rlp_bench.plan.estimate.render import as_json as prediction_json
    from rlp_bench.plan.estimate.render import show_prediction
    from rlp_bench.plan.estimate.without_checkpoint import bench_kind
    from rlp_bench.plan.estimate.workload import read_lengths
    from rlp_bench.plan.graph import Bench, build_plan
    from rlp_bench.plan.measured_cost import Estimate, estimate, measurements
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.run.runner import is_done
    from rlp_bench.store.store import Store

    recipe = load_recipe(recipe_name, overrides)
    store = Store(root)
    plan = build_plan(recipe, method, seed, kind=bench_kind(recipe))
    absent = bench_kind(recipe) is not Bench
    prediction = predict(plan, read_lengths(lengths))
    known = measurements(store)
    stages = []
    for node in plan.nodes:
        cost = estimate(node, plan, known)
        if cost.source == "shipped" and recipe.base.checkpoint != MICRO:
            cost = Estimate(None, "unknown")  # measured on micro, of another size
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
    if as_json:
        said = {"recipe": recipe.id, "method": method, "seed": seed, "stages": stages}
        print_json({**said, "checkpoint_here": not absent, "prediction": prediction_json(plan, prediction)})
        return
    rows = [_plan_row(stage) for stage in stages]
    columns = ["stage", "from", "trainer", "makes", "fingerprint", "state", ">CPU"]
    show(table(f"{method} on {recipe.id}, seed {seed}", columns, rows), _total(stages))
    if absent:
        show(
            f'The checkpoint "{recipe.base.checkpoint}" is not here: fingerprints are unknown, sizes are those of '
            f"{recipe.base.shape}."
        )
    show_prediction(plan, prediction)


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
        return "Everything is there already."
    known = sum(stage["cpu_seconds"] or 0 for stage in missing)
    unknown = sum(stage["cpu_seconds"] is None for stage in missing)
    if unknown and not known:
        return f"{len(missing)} stages to do; none like them was measured here."
    rest = f", and {unknown} whose cost is unknown" if unknown else ""
    return f"{len(missing)} stages to do: about {duration(known)} of CPU{rest}."


def ls_command(what: str, root: Path, as_json: bool) -> None:
    """Lists plugins (from package metadata alone), recipes, artifacts or runs."""
    groups = {f"{group}s": group for group in registry.GROUPS}
    everything = [*groups, *LISTS]
    if not what:
        rows: list[dict[str, Any]] = [
            {"list": name, "names": registry.names(group)} for name, group in sorted(groups.items())
        ] + [{"list": "recipes", "names": _recipes()}]
        if as_json:
            print_json(rows)
        else:
            show(table("", ["rlp-bench ls", ""], [(row["list"], ", ".join(row["names"])) for row in rows]))
        return
    if what not in everything:
        raise UnknownName(f'ls "{what}": there is no such list; {nearest(what, everything)}')
    if what in groups:
        group = groups[what]
        rows = [{"name": name, "package": registry.origin(group, name)} for name in registry.names(group)]
    elif what == "recipes":
        rows = [{"name": name} for name in _recipes()]
    else:
        rows = _artifacts(root) if what == "artifacts" else _runs(root)
    _print_rows(what, rows, as_json)


def _print_rows(what: str, rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif rows:
        shown = [[size(value) if key == "bytes" else value for key, value in row.items()] for row in rows]
        show(table("", list(rows[0]), shown))
    else:
        show(f"no {what}")


def _recipes() -> list[str]:
    folder = Path(__file__).parents[2] / "recipes"
    return sorted(path.stem for path in folder.glob("*.toml"))


def _artifacts(root: Path) -> list[dict[str, Any]]:
    from rlp_bench.store.store import Store

    rows = []
    for artifact in Store(root).all():
        manifest = artifact.manifest
        rows.append(
            {
                "artifact": artifact.path.name,
                "stage": manifest["provenance"].get("stage", ""),
                "seed": manifest["provenance"].get("seed", ""),
                "bytes": sum(manifest["bytes"].values()),
                "content": manifest["content"][:16],
            }
        )
    return rows


def _runs(root: Path) -> list[dict[str, Any]]:
    from rlp_bench.run.records import REPORT, read_record, run_folders
    from rlp_bench.store.store import Store

    rows = []
    for folder in run_folders(Store(root)):
        record = read_record(folder)
        rows.append(
            {
                "run": folder.name,
                "recipe": record["recipe_id"],
                "method": record["method"],
                "seed": record["seed"],
                "status": record["status"],
                "evaluated": (folder / REPORT).exists(),
                "written": record["written"],
            }
        )
    return rows


def validate_command(what: str, methods: Sequence[str], overrides: Sequence[str], as_json: bool) -> None:
    """Checks a recipe (and methods' plans under it), or a checkpoint folder."""
    path = Path(what)
    if path.is_dir():
        from rlp_bench.recipes.base_checkpoint import check_checkpoint

        check_checkpoint(path)
        said: dict[str, Any] = {"checkpoint": str(path), "ok": True}
    else:
        said = _validate_recipe(what, methods, overrides)
    if as_json:
        print_json(said)
    else:
        show(f"ok: {said.get('recipe') or said.get('checkpoint')}")


def _validate_recipe(what: str, methods: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    from rlp_bench.plan.graph import build_plan
    from rlp_bench.recipes.load import load_recipe

    for method in methods:
        registry.origin("method", method)
    recipe = load_recipe(what, overrides)
    faults: list[str] = []
    for method in methods:
        try:
            build_plan(recipe, method, 0)
        except BenchError as error:
            faults += str(error).splitlines()
    if faults:
        raise RecipeError("\n".join(dict.fromkeys(faults)))
    return {"recipe": recipe.id, "methods": list(methods), "ok": True}
