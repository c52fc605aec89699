"""`show`: one plugin, recipe, artifact or run, in full."""

import ast
import dataclasses
import inspect
import json
import textwrap
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rlp_bench.api import registry
from rlp_bench.api.errors import UnknownName, nearest
from rlp_bench.display import print_json, print_text, show, table


def show_command(kind: str, name: str, root: Path, as_json: bool) -> None:
    """Shows one thing of a kind."""
    kinds = [*registry.GROUPS, "recipe", "artifact", "run"]
    if kind not in kinds:
        raise UnknownName(f'show "{kind}": there is no such kind; {nearest(kind, kinds)}')
    if kind == "trainer":
        _trainer(name, as_json)
    elif kind == "recipe":
        _recipe(name, as_json)
    elif kind == "artifact":
        print_json(dict(find_artifact(name, root).manifest))
    elif kind == "run":
        _run(name, root)
    else:
        _plugin(kind, name, as_json)


def _trainer(name: str, as_json: bool) -> None:
    from rlp_bench.recipes.load import load_trainer

    trainer: Any = load_trainer(name)
    meanings = field_meanings(trainer)
    settings = [
        {
            "setting": field.name,
            "type": type_name(field.type),
            "default": _default(field),
            "meaning": meanings.get(field.name, ""),
        }
        for field in dataclasses.fields(trainer)
    ]
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


def type_name(given: Any) -> str:
    """`int`, `float | None`, `'standard' | 'alpacafarm'`: without module names and bounds."""
    if get_origin(given) is Annotated:
        return type_name(get_args(given)[0])
    if get_origin(given) is Literal:
        return " | ".join(map(repr, get_args(given)))
    if get_origin(given) in (Union, UnionType):
        return " | ".join(type_name(each) for each in get_args(given))
    return "None" if given is type(None) else getattr(given, "__name__", str(given))


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else "(required)"


def field_meanings(cls: type) -> dict[str, str]:
    """The line below every field of a dataclass: its meaning, unit and source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            found[field.target.id] = inspect.cleandoc(str(after.value.value))  # type: ignore[attr-defined]
    return found


def _plugin(kind: str, name: str, as_json: bool) -> None:
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
    else:
        print_text(
            "\n".join(
                f"{key}: {value}" if key != "code" else f"\n{value}" for key, value in about.items() if value
            )
        )


def _recipe(name: str, as_json: bool) -> None:
    from rlp_bench.recipes.load import find_recipe, load_recipe

    recipe = load_recipe(name)
    if as_json:
        print_json({"id": recipe.id, **recipe.model_dump(mode="json")})
    else:
        print_text(f"# {recipe.id}\n{find_recipe(name).read_text(encoding='utf-8')}")


def find_artifact(name: str, root: Path) -> Any:
    """An artifact by its folder's name or the beginning of it.

    Raises:
        UnknownName: none or several.
    """
    from rlp_bench.store.store import Store

    store = Store(root)
    folders = [folder for folder in store.folders() if folder.name.startswith(name)]
    if len(folders) != 1:
        found = f"fits {len(folders)} artifacts" if folders else "does not exist"
        raise UnknownName(f'artifact "{name}" {found} in "{root}"; `rlp-bench ls artifacts` lists them')
    return store.open(folders[0])


def _run(name: str, root: Path) -> None:
    from rlp_bench.run.records import REPORT, find_run, read_record
    from rlp_bench.store.store import Store

    record = find_run(Store(root), None if name == "newest" else name)
    report = record.path / REPORT
    about = {"path": str(record.path), **read_record(record.path)}
    print_json({**about, "report": json.loads(report.read_text()) if report.exists() else None})
