"""`rlp-bench run` and `rlp-bench matrix`: what trains, here or on a cluster."""

from typing import Annotated

import typer

from rlp_bench.cli.options import STORE, Json, RecipeName, Seed, Sets, Store, Suites, Track

Where = Annotated[
    str,
    typer.Option(
        "--executor", help="Who does the stages: local, ray, ray:ADDRESS, ray:FILE.toml or slurm:FILE.toml."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done and what each job asks for; do nothing.")
]


def run(
    method: Annotated[str, typer.Option("--method", help="What to run; `rlp-bench ls methods` lists them.")],
    recipe: RecipeName = "micro",
    seed: Seed = 0,
    overrides: Sets = None,
    suites: Suites = None,
    no_eval: Annotated[bool, typer.Option("--no-eval", help="Train only.")] = False,
    executor: Where = "local",
    dry_run: DryRun = False,
    track: Track = None,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Train a method's stages (what is there already is reused), evaluate its policy, print a summary."""
    from rlp_bench.cli.commands.run import run_command

    where = (executor, dry_run)
    run_command(method, recipe, seed, overrides or [], suites, not no_eval, track, store, as_json, where)


def matrix(
    methods: Annotated[str, typer.Option("--methods", help='"all", or names with commas between.')] = "all",
    seeds: Annotated[str, typer.Option("--seeds", help='"0..4", or numbers with commas between.')] = "0..4",
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    jobs: Annotated[
        int, typer.Option("--jobs", help="Processes on this machine, one thread each.", min=1)
    ] = 2,
    match_steps: Annotated[
        bool, typer.Option("--match-steps", help="Every reward model takes as many updates as the first.")
    ] = False,
    tuned: Annotated[
        bool, typer.Option("--tuned/--untuned", help="Choose each method's setting by the recipe's [tuning].")
    ] = True,
    executor: Where = "local",
    dry_run: DryRun = False,
    track: Track = None,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Run many methods and seeds with shared stages, in parallel; a killed matrix resumes."""
    from rlp_bench.cli.commands.matrix import matrix_command

    where = (executor, dry_run)
    matrix_command(
        methods, seeds, recipe, overrides or [], jobs, match_steps, tuned, store, as_json, track, where
    )
