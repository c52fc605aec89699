"""Registers the commands, one file each; a command imports what it needs when it runs.

A user error prints one line on stderr and exits with status 2; an interrupt exits with 130. Any other exception is a
bug and keeps its traceback.
"""

import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from rlp_bench import __version__
from rlp_bench.api import escape
from rlp_bench.api.errors import BenchError, lines_of
from rlp_bench.cli.audit import audit
from rlp_bench.cli.bench import bench
from rlp_bench.cli.compare import compare
from rlp_bench.cli.cp import cp
from rlp_bench.cli.curves import curves
from rlp_bench.cli.doctor import doctor
from rlp_bench.cli.eval import evaluate
from rlp_bench.cli.export import export
from rlp_bench.cli.gc import gc
from rlp_bench.cli.leaderboard import leaderboard
from rlp_bench.cli.ls import ls
from rlp_bench.cli.matrix import matrix
from rlp_bench.cli.micro import pretrain
from rlp_bench.cli.plan import plan
from rlp_bench.cli.regress import accept, regress, show_baseline
from rlp_bench.cli.reports.claims import claims
from rlp_bench.cli.reports.html import html
from rlp_bench.cli.reports.preference_accuracy import preference_accuracy
from rlp_bench.cli.reports.results import results
from rlp_bench.cli.reports.throughput import throughput
from rlp_bench.cli.run import run
from rlp_bench.cli.samples import samples
from rlp_bench.cli.show import show_one
from rlp_bench.cli.validate import validate
from rlp_bench.display import open_streams, print_message, print_text

Command = Callable[..., None]

COMMANDS: dict[str, Command] = {
    "run": run,
    "eval": evaluate,
    "matrix": matrix,
    "plan": plan,
    "leaderboard": leaderboard,
    "claims": claims,
    "compare": compare,
    "curves": curves,
    "samples": samples,
    "audit": audit,
    "regress": regress,
    "ls": ls,
    "show": show_one,
    "cp": cp,
    "validate": validate,
    "export": export,
    "doctor": doctor,
    "gc": gc,
    "bench": bench,
}
GROUPS: dict[str, tuple[str, dict[str, Command]]] = {
    "report": (
        "Reports over many runs.",
        {
            "preference-accuracy": preference_accuracy,
            "results": results,
            "html": html,
            "throughput": throughput,
        },
    ),
    "baseline": (
        "Accepted results that `regress` compares with.",
        {"accept": accept, "show": show_baseline},
    ),
    "micro": ("The synthetic micro world.", {"pretrain": pretrain}),
}
"""Name -> (help, its commands)."""

VERIFYING = (
    "run", "eval", "matrix", "leaderboard", "claims", "compare", "curves", "samples", "regress", "export",
    "report html", "report preference-accuracy", "report results", "report throughput", "baseline accept",
)  # fmt: skip
"""Commands with --verify."""
OF_A_PATH = (
    errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR,
    errno.ENOTEMPTY, errno.EPERM, errno.EROFS,
)  # fmt: skip
"""Errors that a path causes: one line; others are bugs."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # markup would hide a [word] in help texts; rich costs 0.2 s
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _register(group: typer.Typer, commands: Mapping[str, Command], prefix: str = "") -> None:
    """Adds commands to a group; the docstring of a command is its short help."""
    for name, command in commands.items():
        called = _verifying(command) if f"{prefix}{name}" in VERIFYING else command
        group.command(name, short_help=command.__doc__)(called)


Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Hash every stored file that is opened, not only those whose size or times have changed.",
    ),
]


def _verifying(command: Command) -> Command:
    """The command with the option --verify."""

    @functools.wraps(command)
    def call(verify: bool = False, **given: Any) -> None:
        if verify:
            os.environ["RLP_BENCH_VERIFY"] = "1"  # see store.manifest; read by worker processes, too
        command(**given)

    own = inspect.signature(command)
    more = inspect.Parameter("verify", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Verify)
    call.__signature__ = own.replace(parameters=[*own.parameters.values(), more])  # type: ignore[attr-defined]
    call.__annotations__ = {**command.__annotations__, "verify": Verify}
    return call


_register(app, COMMANDS)
for _name, (_help, _commands) in GROUPS.items():
    _group = typer.Typer(no_args_is_help=True, help=_help)
    _register(_group, _commands, f"{_name} ")
    app.add_typer(_group, name=_name)


def _print_version(requested: bool) -> None:
    if requested:
        print_text(f"rlp-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Reward learning on policy: identical recipes, pluggable trainers and judges, honest statistics."""


def main() -> None:
    """Entry point of the console script."""
    from rlp_bench.run.end_with import terminate_as_interrupt

    open_streams()
    terminate_as_interrupt()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # an error of it is one of this command
    except BenchError as error:
        print_message("\n".join(f"error: {escape.line(line)}" for line in lines_of(error)))
        sys.exit(2)
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as end:
        if end.code == 130:
            _interrupted()
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            line = f"the disk is full ({os.strerror(errno.ENOSPC)}): free space, then run the same command"
        elif isinstance(error.filename, str | os.PathLike) and error.errno in OF_A_PATH:
            line = (
                f'"{os.fspath(error.filename)}": {error.strerror}; give another path, or remove what is there'
            )
        else:
            raise
        print_message(f"error: {line}")
        sys.exit(2)


def _interrupted() -> None:
    print_message("interrupted; run the same command to resume")
    sys.exit(130)
