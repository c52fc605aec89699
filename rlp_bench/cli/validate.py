"""`rlp-bench validate`: checks a recipe or a checkpoint without running anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, RecipeError
from rlp_bench.cli.options import Json, Sets, plugin_names, recipe_names
from rlp_bench.display import print_json, show


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
    as_json: Json = False,
) -> None:
    """Check a recipe or a checkpoint and list all errors, without running anything."""
    path = Path(what)
    if path.is_dir():
        from rlp_bench.recipes.base_checkpoint import check_checkpoint

        check_checkpoint(path)
        kind = registry.load("engine", "transformers")().check(path)
        result: dict[str, Any] = {"checkpoint": str(path), "kind": kind, "ok": True}
    else:
        result = _check_recipe(what, methods or [], overrides or [])
    if as_json:
        print_json(result)
    else:
        show(f"ok: {result.get('recipe') or result.get('checkpoint')}")


def _check_recipe(what: str, methods: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    """Loads the recipe and builds the plan of every method under it.

    Raises:
        RecipeError: the errors of all plans, one per line.
    """
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
