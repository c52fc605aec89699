"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[
    Path, typer.Option("--store", envvar="RLP_BENCH_STORE", help="Folder of artifacts and runs.")
]
RecipeName = Annotated[str, typer.Option("--recipe", help="A recipe's name, or a .toml file.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value over the recipe; repeatable.")
]
Suites = Annotated[
    list[str] | None, typer.Option("--suite", help="Alias from the recipe's [suites]; repeatable.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every stage.", min=0)]
Json = Annotated[bool, typer.Option("--json", help="Pure JSON on stdout.")]
STORE = Path("rlp-bench-store")
MatrixName = Annotated[
    str | None, typer.Option("--matrix", help="A recipe id, as `matrix` printed it; default: the newest.")
]
Track = Annotated[
    list[str] | None,
    typer.Option("--track", help="Training curves also to tensorboard, wandb or trackio; repeatable."),
]
