"""`rlp-bench validate`: checks a recipe or a checkpoint without running anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, RecipeError
from rlp_bench.cli.options import STORE, Json, NoCheck, Sets, StoreFolder, Strict, plugin_names, recipe_names
from rlp_bench.display import print_json, print_text, show


def validate(
    what: Annotated[
        str,
        typer.Argument(help="A recipe (name or .toml) or a checkpoint folder.", autocompletion=recipe_names),
    ] = "micro",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="Also check this method's plan; repeatable.",
            autocompletion=plugin_names("method"),
        ),
    ] = None,
    overrides: Sets = None,
    no_check: NoCheck = False,
    strict: Strict = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Check a recipe or a checkpoint and list all errors, without running anything."""
    from rlp_bench.api.rows import reading

    path = Path(what)
    lines: list[str] = []
    if path.is_dir():
        from rlp_bench.recipes.base_checkpoint import check_checkpoint

        check_checkpoint(path)
        kind = registry.load("engine", "transformers")().check(path)
        result: dict[str, Any] = {"checkpoint": str(path), "kind": kind, "ok": True}
    else:
        with reading(strict) as files:
            result = _check_recipe(what, methods or [], overrides or [], store, not no_check)
        result.update(files.found())
        lines = [f"{check['what']}: {check['found']}" for check in result["checks"]] + files.lines()
    if as_json:
        print_json(result)
        return
    for line in lines:
        print_text(line)
    show(f"ok: {result.get('recipe') or result.get('checkpoint')}")


def _check_recipe(
    what: str, methods: Sequence[str], overrides: Sequence[str], store: Path, reach: bool
) -> dict[str, Any]:
    """Loads the recipe, builds the plan of every method under it, and checks all that they need.

    Raises:
        RecipeError: all errors, one per line.
    """
    from rlp_bench.evaluation.preflight import Scope, as_json, preflight, require
    from rlp_bench.plan.graph import build_plan
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.store.store import Store

    for method in methods:
        registry.origin("method", method)
    recipe = load_recipe(what, overrides)
    faults: list[str] = []
    plans = []
    for method in methods:
        try:
            plans.append(build_plan(recipe, method, 0))
        except BenchError as error:
            faults += str(error).splitlines()
    if faults:
        raise RecipeError("\n".join(dict.fromkeys(faults)))
    checks = preflight(Scope(recipe, Store(store), plans, reach=reach))
    require(checks)
    return {"recipe": recipe.id, "methods": list(methods), "checks": as_json(checks), "ok": True}
