"""`rlp-bench ls`: lists plug-ins (from package metadata, without imports), recipes, artifacts and runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import UnknownName, nearest
from rlp_bench.cli.options import STORE, Json, StoreFolder, recipe_names
from rlp_bench.display import print_json, show, size, table


def list_names() -> list[str]:
    """Names of the lists: one per group of plug-ins, then recipes, artifacts and runs."""
    return [*(f"{group}s" for group in registry.GROUPS), "recipes", "artifacts", "runs"]


def ls(
    what: Annotated[
        str,
        typer.Argument(
            help="methods, trainers, judges, suites, recipes, artifacts, runs, ...", autocompletion=list_names
        ),
    ] = "",
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """List plug-ins, recipes, artifacts or runs."""
    if not what:
        _print_all(as_json)
    elif what not in list_names():
        raise UnknownName(f'ls "{what}": no such list; {nearest(what, list_names())}')
    elif what == "recipes":
        _print_rows(what, [{"name": name} for name in recipe_names()], as_json)
    elif what in ("artifacts", "runs"):
        _print_rows(what, _artifacts(store) if what == "artifacts" else _runs(store), as_json)
    else:
        _print_rows(what, _plugins(what.removesuffix("s")), as_json)


def _print_all(as_json: bool) -> None:
    """Prints the lists of plug-ins and recipes, one row each."""
    rows: list[dict[str, Any]] = [
        {"list": f"{group}s", "names": registry.names(group)} for group in sorted(registry.GROUPS)
    ]
    rows.append({"list": "recipes", "names": recipe_names()})
    if as_json:
        print_json({"list": "all", "rows": rows})
    else:
        show(table("", ["rlp-bench ls", ""], [(row["list"], ", ".join(row["names"])) for row in rows]))


def _print_rows(what: str, rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"list": what, "rows": rows})
    elif rows:
        shown = [[size(value) if key == "bytes" else value for key, value in row.items()] for row in rows]
        show(table("", list(rows[0]), shown))
    else:
        show(f"no {what}")


def _plugins(group: str) -> list[dict[str, Any]]:
    return [{"name": name, "package": registry.origin(group, name)} for name in registry.names(group)]


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
