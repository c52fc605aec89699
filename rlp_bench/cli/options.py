"""Options shared by several commands, and shell completion, which imports no plug-ins."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

RECIPES = Path(__file__).parents[1] / "recipes"
STORE = Path("rlp-bench-store")


def recipe_names() -> list[str]:
    """Names of the recipes shipped with the package, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def plugin_names(group: str) -> Callable[[str], list[str]]:
    """A shell completion for plug-in names; `group` is one of `registry.GROUPS`."""

    def names(incomplete: str) -> list[str]:
        from rlp_bench.api import registry

        return [name for name in registry.names(group) if name.startswith(incomplete)]

    return names


def method_list(incomplete: str) -> list[str]:
    """Shell completion of the last of several comma-separated methods."""
    head, comma, last = incomplete.rpartition(",")
    return [head + comma + name for name in plugin_names("method")(last)]


def suite_aliases(ctx: typer.Context, incomplete: str) -> list[str]:
    """Shell completion of suite aliases, from [suites] of the given recipe or of `micro`."""
    from rlp_bench.api.documents import read_toml
    from rlp_bench.api.errors import BenchError

    name = ctx.params.get("recipe") or "micro"
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        suites: dict[str, Any] = read_toml(path)["suites"]
    except (BenchError, KeyError):
        return []
    return [alias for alias in suites if alias.startswith(incomplete)]


_RECIPE = typer.Option("--recipe", help="A recipe's name, or a .toml file.", autocompletion=recipe_names)

StoreFolder = Annotated[
    Path, typer.Option("--store", envvar="RLP_BENCH_STORE", help="Folder of artifacts and runs.")
]
RecipeName = Annotated[str, _RECIPE]
OptionalRecipe = Annotated[str | None, _RECIPE]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a recipe setting by section.key=value; repeatable."),
]
MethodName = Annotated[
    str,
    typer.Option(
        "--method",
        help="The method; `rlp-bench ls methods` lists them.",
        autocompletion=plugin_names("method"),
    ),
]
SuiteAlias = Annotated[
    str, typer.Option("--suite", help="Alias from the recipe's [suites].", autocompletion=suite_aliases)
]
SuiteAliases = Annotated[
    list[str] | None,
    typer.Option(
        "--suite", help="Alias from the recipe's [suites]; repeatable.", autocompletion=suite_aliases
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every stage.", min=0)]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]
RunName = Annotated[str | None, typer.Option("--run", help="A run's name or folder; default: the newest.")]
MatrixName = Annotated[
    str | None, typer.Option("--matrix", help="A recipe id, as printed by `matrix`; default: the newest.")
]
Track = Annotated[
    list[str] | None,
    typer.Option("--track", help="Also write training curves to tensorboard, wandb or trackio; repeatable."),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor", help="Where stages run: local, ray, ray:ADDRESS, ray:FILE.toml or slurm:FILE.toml."
    ),
]
NoCheck = Annotated[
    bool,
    typer.Option(
        "--no-check", help="Contact no judge's server and no hub before training; all else is checked."
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Refuse a file with rows that cannot be used, instead of leaving them out."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the jobs and their resources; run nothing.")]
