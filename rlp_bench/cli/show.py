"""`rlp-bench show`: shows one plug-in, recipe, artifact or run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import UnknownName, nearest
from rlp_bench.cli.options import STORE, Json, StoreFolder, plugin_names, recipe_names
from rlp_bench.display import print_json, print_text, show, table

KINDS = (*registry.GROUPS, "recipe", "artifact", "run")


def complete_name(ctx: typer.Context, incomplete: str) -> list[str]:
    """Shell completion of a name of the given kind; empty for artifacts and runs."""
    kind = ctx.params.get("kind")
    if kind in registry.GROUPS:
        return plugin_names(kind)(incomplete)
    return recipe_names() if kind == "recipe" else []


def show_one(
    kind: Annotated[
        str,
        typer.Argument(
            help="method, trainer, judge, suite, recipe, artifact, run, ...", autocompletion=lambda: KINDS
        ),
    ],
    name: Annotated[str, typer.Argument(help="Its name, as `ls` prints it.", autocompletion=complete_name)],
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Show one thing: a method's algorithm, a trainer's settings, a recipe, an artifact, a run."""
    if kind not in KINDS:
        raise UnknownName(f'show "{kind}": no such kind; {nearest(kind, KINDS)}')
    if kind == "trainer":
        _trainer(name, as_json)
    elif kind == "recipe":
        _recipe(name, as_json)
    elif kind == "artifact":
        print_json(dict(find_artifact(name, store).manifest))
    elif kind == "run":
        _run(name, store)
    else:
        _plugin(kind, name, as_json)


def _trainer(name: str, as_json: bool) -> None:
    import inspect

    from rlp_bench.cli.trainer_settings import setting_rows
    from rlp_bench.recipes.load import load_trainer

    trainer: Any = load_trainer(name)
    settings = setting_rows(trainer)
    if as_json:
        about = {
            "name": name,
            "version": trainer.version,
            "inputs": dict(trainer.inputs),
            "output": trainer.output,
        }
        print_json({**about, "uses": list(trainer.uses), "settings": settings})
        return
    inputs = ", ".join(f"{key}: {kind}" for key, kind in trainer.inputs.items())
    print_text(f"{name} {trainer.version}: {inspect.cleandoc(trainer.__doc__ or '')}\n")
    print_text(f"({inputs}) -> {trainer.output}; uses {', '.join(trainer.uses) or 'nothing of the recipe'}\n")
    show(table("", ["setting", "type", "default", "meaning"], [list(row.values()) for row in settings]))


def _plugin(kind: str, name: str, as_json: bool) -> None:
    import inspect
    import textwrap

    plugin = registry.load(kind, name)
    about = {
        "name": name,
        "package": registry.origin(kind, name),
        "source": getattr(plugin, "source", ""),
        "about": inspect.getdoc(plugin) or "",
    }
    if kind == "method":
        about["code"] = textwrap.dedent(inspect.getsource(plugin))
    if as_json:
        print_json(about)
        return
    lines = [f"{key}: {value}" if key != "code" else f"\n{value}" for key, value in about.items() if value]
    print_text("\n".join(lines))


def _recipe(name: str, as_json: bool) -> None:
    from rlp_bench.api.documents import read_text
    from rlp_bench.recipes.load import find_recipe, load_recipe

    recipe = load_recipe(name)
    if as_json:
        print_json({"id": recipe.id, **recipe.model_dump(mode="json")})
    else:
        print_text(f"# {recipe.id}\n{read_text(find_recipe(name), 'TOML')}")


def _run(name: str, root: Path) -> None:

    from rlp_bench.api.report import read_report
    from rlp_bench.run.records import REPORT, find_run, read_record
    from rlp_bench.store.store import Store

    record = find_run(Store(root), None if name == "newest" else name)
    report = record.path / REPORT
    about = {"path": str(record.path), **read_record(record.path)}
    print_json({**about, "report": read_report(report) if report.exists() else None})


def find_artifact(name: str, root: Path) -> Any:
    """The artifact whose folder name has this unique prefix.

    Raises:
        UnknownName: no artifact or several match.
    """
    from rlp_bench.store.store import Store

    store = Store(root)
    folders = [folder for folder in store.folders() if folder.name.startswith(name)]
    if len(folders) != 1:
        found = f"matches {len(folders)} artifacts" if folders else "does not exist"
        raise UnknownName(f'artifact "{name}" {found} in "{root}"; `rlp-bench ls artifacts` lists them')
    return store.open(folders[0])
