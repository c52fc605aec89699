"""`rlp-bench cp`: copies a recipe or an artifact."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.cli.options import STORE, StoreFolder
from rlp_bench.cli.show import complete_name
from rlp_bench.display import show

KINDS = ("recipe", "artifact")


def cp(
    kind: Annotated[str, typer.Argument(help="recipe or artifact", autocompletion=lambda: KINDS)],
    name: Annotated[str, typer.Argument(help="Its name, as `ls` prints it.", autocompletion=complete_name)],
    to: Annotated[Path, typer.Argument(help="A file for a recipe, a new folder for an artifact.")],
    store: StoreFolder = STORE,
) -> None:
    """Copy a recipe (to edit it) or an artifact (to use it elsewhere)."""
    if kind not in KINDS:
        raise UnknownName(f'cp "{kind}": no such kind; {nearest(kind, KINDS)}')
    source = _source(kind, name, store)
    if kind == "recipe" and to.is_dir():
        to = to / source.name
    if to.exists():
        raise BenchError(f'cp: "{to}" exists; give another name')
    if not to.resolve().parent.is_dir():
        raise BenchError(f'cp: "{to.parent}" is not a folder; create it first')
    _copy(source, to)


def _source(kind: str, name: str, store: Path) -> Path:
    """The recipe's file or the artifact's folder."""
    if kind == "recipe":
        from rlp_bench.recipes.load import find_recipe

        return find_recipe(name)
    from rlp_bench.cli.show import find_artifact

    folder: Path = find_artifact(name, store).path
    return folder


def _copy(source: Path, to: Path) -> None:
    """Copies a file or a folder; prints the new path."""
    import shutil

    if source.is_dir():
        shutil.copytree(source, to)
    else:
        shutil.copyfile(source, to)
    show(f"{to}")
