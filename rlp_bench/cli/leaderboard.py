"""`rlp-bench leaderboard`: compares the evaluated runs of one recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, DataError, UnknownName, nearest
from rlp_bench.cli.options import STORE, Json, StoreFolder, plugin_names, recipe_names
from rlp_bench.display import print_json, print_text


def leaderboard(
    format: Annotated[
        str, typer.Option("--format", help="text, md, csv, latex, json or html; boards may have others.")
    ] = "text",
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="Recipe name or name@id.", autocompletion=recipe_names),
    ] = None,
    board: Annotated[
        str,
        typer.Option(
            "--board", help="`rlp-bench ls boards` lists them.", autocompletion=plugin_names("board")
        ),
    ] = "table",
    published: Annotated[
        bool, typer.Option("--published", help="Add the paper's published rows, marked as copied.")
    ] = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Show the evaluated runs of one recipe in one table."""
    registry.origin("board", board)
    recipe_id, reports = _reports(recipe, store)
    if as_json:
        print_json({"recipe": recipe_id, "reports": reports})
    else:
        options = {"published": True} if published else {}
        print_text(registry.load("board", board)().render(reports, format, **options))


def _reports(recipe: str | None, root: Path) -> tuple[str, list[dict[str, Any]]]:
    """(recipe id, reports of its runs, with controls marked)."""
    from rlp_bench.analysis.method_info import about
    from rlp_bench.run.records import REPORT, check_evidence, read_record, run_folders
    from rlp_bench.store.store import Store

    opened = Store(root)
    found = [
        (read_record(folder)["recipe_id"], folder)
        for folder in run_folders(opened)
        if (folder / REPORT).exists()
    ]
    if not found:
        raise DataError(f'store "{root}": has no evaluated run; run `rlp-bench run --method sft` first')
    chosen = _recipe_id(recipe, [recipe_id for recipe_id, _ in found])
    folders = [folder for recipe_id, folder in found if recipe_id == chosen]
    reports = [check_evidence(folder, read_record(folder), opened) for folder in folders]
    controls = {method: about(method)["control"] for method in {report["method"] for report in reports}}
    here = str(opened.root.resolve())  # the store may have been moved since
    return chosen, [{**report, "store": here, "control": controls[report["method"]]} for report in reports]


def _recipe_id(given: str | None, ids: Sequence[str]) -> str:
    """The recipe id of a given id or name; by default the only one in the store."""
    if given in ids:
        return str(given)
    if given is None:
        different = sorted(set(ids))
        if len(different) > 1:
            raise BenchError(
                f"leaderboard: {len(different)} recipes have runs; choose one by --recipe: {', '.join(different)}"
            )
        return ids[-1]
    fitting = sorted({one for one in ids if one.partition("@")[0] == given})
    if len(fitting) == 1:
        return fitting[0]
    from rlp_bench.recipes.load import load_recipe

    current = load_recipe(given).id if given.endswith(".toml") or len(fitting) > 1 else None
    if current in ids:
        return str(current)
    raise UnknownName(f'recipe "{given}" has no evaluated run or several: {nearest(given, set(ids))}')
