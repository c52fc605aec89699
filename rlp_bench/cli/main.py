"""The command line: parses, and hands over to `rlp_bench.cli.commands`, which is imported only then.

A person's mistake is one line on stderr and exit status 2; an interrupt is 130. Everything else is a bug
and keeps its traceback.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api.errors import BenchError
from rlp_bench.cli.bench import bench
from rlp_bench.cli.export import export
from rlp_bench.cli.options import STORE, Json, MatrixName, RecipeName, Seed, Sets, Store, Suites
from rlp_bench.cli.regress import baseline, regress
from rlp_bench.cli.report import report
from rlp_bench.cli.run import matrix, run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reward learning on policy: identical recipes, pluggable trainers and judges, honest statistics.",
)
micro = typer.Typer(no_args_is_help=True, help="The embedded world.")
app.add_typer(micro, name="micro")
app.add_typer(report, name="report")
app.command()(run)
app.command()(matrix)
app.command()(bench)
app.command()(export)
app.add_typer(baseline, name="baseline")
app.command()(regress)


@app.command("eval")
def evaluate(
    suites: Suites = None,
    run: Annotated[
        str | None, typer.Option("--run", help="A run's name or folder; default: the newest.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="A checkpoint folder, or openai:MODEL for an endpoint.")
    ] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Where openai:MODEL is served.")] = None,
    outputs: Annotated[Path | None, typer.Option("--outputs", help="Answers in AlpacaEval's format.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="name or name:argument.")] = None,
    order: Annotated[
        str | None, typer.Option("--order", help="both, random, policy_first, reference_first.")
    ] = None,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Accept missing items.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="The suite's items, where it needs a file.")
    ] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="A recipe's name, or a .toml file.")] = None,
    overrides: Sets = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help='Most to spend: dollars ("5") or "200000tokens".')
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and cost at most; send nothing.")
    ] = False,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Evaluate a run, a checkpoint, or a file of outputs."""
    from rlp_bench.cli.commands.run import eval_command

    options = {
        "suites": suites,
        "run": run,
        "policy": policy,
        "outputs": outputs,
        "judge": judge,
        "order": order,
        "allow_missing": allow_missing,
        "data": data,
        "recipe": recipe,
        "overrides": overrides or [],
        "base_url": base_url,
        "budget": budget,
        "dry_run": dry_run,
    }
    eval_command(options, store, as_json)


@app.command()
def plan(
    method: Annotated[str, typer.Option("--method", help="`rlp-bench ls methods` lists them.")],
    recipe: RecipeName = "micro",
    seed: Seed = 0,
    overrides: Sets = None,
    lengths: Annotated[
        str, typer.Option("--lengths", help="Tokens expected of a prompt and of a response, e.g. 120,200.")
    ] = "",
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Print a method's stages: what is there, what the others cost, memory, time and money. Runs nothing."""
    from rlp_bench.cli.commands.look import plan_command

    plan_command(method, recipe, seed, overrides or [], store, as_json, lengths)


@app.command()
def ls(
    what: Annotated[
        str, typer.Argument(help="methods, trainers, judges, suites, recipes, artifacts, runs, ...")
    ] = "",
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """List plugins, recipes, artifacts or runs."""
    from rlp_bench.cli.commands.look import ls_command

    ls_command(what, store, as_json)


@app.command()
def show(
    kind: Annotated[str, typer.Argument(help="method, trainer, judge, suite, recipe, artifact, run, ...")],
    name: Annotated[str, typer.Argument(help="Its name, as `ls` prints it.")],
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Show one thing: a method's algorithm, a trainer's settings, a recipe, an artifact, a run."""
    from rlp_bench.cli.commands.show import show_command

    show_command(kind, name, store, as_json)


@app.command()
def cp(
    kind: Annotated[str, typer.Argument(help="recipe or artifact")],
    name: Annotated[str, typer.Argument(help="Its name, as `ls` prints it.")],
    to: Annotated[Path, typer.Argument(help="A file for a recipe, a new folder for an artifact.")],
    store: Store = STORE,
) -> None:
    """Copy a recipe (to edit it) or an artifact (to use it elsewhere)."""
    from rlp_bench.cli.commands.keep import cp_command

    cp_command(kind, name, to, store)


@app.command()
def validate(
    what: Annotated[str, typer.Argument(help="A recipe (name or .toml) or a checkpoint folder.")] = "micro",
    methods: Annotated[
        list[str] | None, typer.Option("--method", help="Check its plan too; repeatable.")
    ] = None,
    overrides: Sets = None,
    as_json: Json = False,
) -> None:
    """Check a recipe or a checkpoint and say everything that is wrong, without running anything."""
    from rlp_bench.cli.commands.look import validate_command

    validate_command(what, methods or [], overrides or [], as_json)


@app.command()
def leaderboard(
    format: Annotated[
        str, typer.Option("--format", help="text, md, csv, latex, json or html; a board may have others.")
    ] = "text",
    recipe: Annotated[str | None, typer.Option("--recipe", help="Recipe name or name@id.")] = None,
    board: Annotated[str, typer.Option("--board", help="`rlp-bench ls boards` lists them.")] = "table",
    published: Annotated[
        bool, typer.Option("--published", help="The paper's rows beside, marked as copied.")
    ] = False,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """The evaluated runs of one recipe, side by side."""
    from rlp_bench.cli.commands.run import leaderboard_command

    leaderboard_command(format, recipe, board, published, store, as_json)


@app.command()
def compare(
    pairs: Annotated[
        list[str], typer.Argument(help="candidate:baseline, for example rlp_spg:ppo; repeatable.")
    ],
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    suite: Annotated[str, typer.Option("--suite", help="Alias from the recipe's [suites].")] = "alpacafarm",
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Paired tests of methods on the same items and seeds, with Holm's correction over all pairs."""
    from rlp_bench.cli.commands.study import compare_command

    compare_command(pairs, recipe, overrides or [], suite, store, as_json)


@app.command()
def curves(
    methods: Annotated[list[str] | None, typer.Option("--method", help="Methods that end in PPO.")] = None,
    betas: Annotated[list[float] | None, typer.Option("--beta", help="KL coefficient; repeatable.")] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed", help="Seed; repeatable.")] = None,
    snapshots: Annotated[
        list[int] | None, typer.Option("--snapshot", help="Rollouts after which to look; repeatable.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Also the win rate of every snapshot on this suite.")
    ] = None,
    at_kl: Annotated[
        list[float] | None,
        typer.Option(
            "--at-kl", help="Compare the methods with the first at this KL; needs --suite; repeatable."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="NAME.json and NAME.svg are written.")] = Path("curves"),
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Proxy reward, gold utility and reward-model accuracy along PPO, by KL: table, JSON and plot."""
    from rlp_bench.cli.commands.study import curves_command

    curves_command(
        methods or ["ppo"],
        recipe,
        overrides or [],
        betas or [],
        seeds or [0],
        snapshots or [],
        suite,
        at_kl or [],
        out,
        store,
        as_json,
    )


@app.command()
def doctor(store: Store = STORE, as_json: Json = False) -> None:
    """Check the installation, the plugins, the recipes, and every artifact's hashes."""
    from rlp_bench.cli.commands.keep import doctor_command

    doctor_command(store, as_json)


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, remove nothing.")] = False,
    store: Store = STORE,
) -> None:
    """Remove artifacts that no run needs, and what kills left behind."""
    from rlp_bench.cli.commands.keep import gc_command

    gc_command(dry_run, store)


@app.command()
def audit(
    judge: Annotated[str, typer.Argument(help="name or name:argument, for example replay:result.json.")],
    suite: Annotated[
        str,
        typer.Option(
            "--suite", help="Labelled pairs: llmbar, micro_llmbar_pairs, or any suite of that kind."
        ),
    ] = "llmbar",
    data: Annotated[Path | None, typer.Option("--data", help="The suite's folder or file.")] = None,
    humans: Annotated[
        Path | None, typer.Option("--humans", help="Annotations of people on other pairs, to agree with.")
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Ask everything so often, with other seeds.", min=1)
    ] = 1,
    as_json: Json = False,
) -> None:
    """Judge a judge: accuracy, both orders, position, agreement with people, agreement with itself."""
    from rlp_bench.cli.commands.audit import audit_command

    audit_command(judge, suite, data, humans, repeats, as_json)


@app.command()
def claims(matrix: MatrixName = None, store: Store = STORE, as_json: Json = False) -> None:
    """The paper's claims: effect, interval, corrected p, and whether a matrix bears them out."""
    from rlp_bench.cli.commands.reports import claims_command

    claims_command(matrix, store, as_json)


@app.command()
def samples(
    view: Annotated[str, typer.Option("--view", help="outputs, pairs or accepted.")] = "outputs",
    methods: Annotated[list[str] | None, typer.Option("--method", help="Which, and in which order.")] = None,
    seed: Seed = 0,
    suite: Annotated[str, typer.Option("--suite", help="Alias from the recipe's [suites].")] = "alpacafarm",
    item: Annotated[
        str | None, typer.Option("--item", help="An item's id, or words of its instruction.")
    ] = None,
    category: Annotated[str | None, typer.Option("--category", help="Only items of this kind.")] = None,
    n: Annotated[int, typer.Option("-n", help="How many instructions.", min=1)] = 3,
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown tables.")] = False,
    store: Store = STORE,
    as_json: Json = False,
) -> None:
    """Read what methods answer and prefer, side by side."""
    from rlp_bench.cli.commands.samples import samples_command

    samples_command(
        view, methods or [], seed, suite, item, category, n, recipe, overrides or [], markdown, store, as_json
    )


@micro.command()
def pretrain(
    out: Annotated[Path, typer.Option("--out", help="Folder for the checkpoint.")],
) -> None:
    """Pre-train the embedded world's base model, as the shipped one was."""
    from rlp_bench.cli.commands.micro import pretrain_command

    pretrain_command(out)


def main() -> Any:
    """The console script."""
    try:
        app()
    except BenchError as error:
        lines = str(error).splitlines() or [type(error).__name__]
        sys.stderr.write("".join(f"error: {line}\n" for line in lines))
        sys.exit(2)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as end:
        if end.code == 130:
            _interrupted()
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.stderr.write(
            f"error: the disk is full ({os.strerror(errno.ENOSPC)}): free space, run the same command\n"
        )
        sys.exit(2)


def _interrupted() -> None:
    sys.stderr.write("interrupted; run the same command to resume\n")
    sys.exit(130)


if __name__ == "__main__":
    main()
