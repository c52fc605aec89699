"""Help, version and shell completion: every text is shown whole, every option declared once, nothing heavy imported."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import rlp_bench
from rlp_bench.cli.main import app

FILES = sorted((Path(rlp_bench.__file__).parent / "cli").rglob("*.py"))


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(words after `rlp-bench`, command) of the program, its groups and their commands."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


def shown(*arguments: str) -> str:
    """What is printed, without the white space that wrapping changes."""
    result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == 0, result.output
    return "".join(result.output.split())


def texts(command: Any) -> list[str]:
    """Everything that a command says of itself and its options."""
    return [command.help, *(p.help for p in command.params if getattr(p, "help", None))]


def test_the_walk_finds_groups_commands_and_words_in_brackets() -> None:
    assert {("run",), ("report",), ("report", "html"), ("baseline", "show")} < set(COMMANDS)
    words = {word for c in COMMANDS.values() for text in texts(c) for word in re.findall(r"\[\w+\]", text)}
    assert {"[suites]", "[tuning]"} <= words


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_text_is_shown_whole_with_its_brackets_by_help_and_by_h(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    help_ = shown(*path, "--help")
    assert [text for text in texts(command) if "".join(text.split()) not in help_] == []
    below = getattr(command, "commands", {}).values()
    assert [each.name for each in below if "".join(each.help.split()) not in help_] == []
    assert shown(*path, "-h") == help_


def declared(path: Path) -> Iterator[tuple[str, ...]]:
    """(flags, help) of every option that a file declares."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "typer.Option":
            help_ = next(word.value for word in node.keywords if word.arg == "help")
            yield (*map(ast.literal_eval, node.args), ast.literal_eval(help_))


def test_an_option_that_several_commands_share_is_declared_once() -> None:
    found = Counter(option for path in FILES for option in declared(path))
    assert len(found) > 60
    assert [option for option, times in found.items() if times > 1] == []


IMPORTED = """
import sys
before = set(sys.modules)
import rlp_bench.cli.main
print(*sorted(set(sys.modules) - before))
"""


def test_importing_the_command_line_imports_no_room_but_api_and_cli() -> None:
    run = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    names = run.stdout.split()
    heavy = {"pydantic", "numpy", "torch", "pandas", "rich", "transformers", "importlib.metadata"}
    assert heavy & set(names) == set()
    rooms = {name.split(".")[1] for name in names if name.startswith("rlp_bench.")}
    assert rooms == {"api", "cli", "display"}


def test_version_and_python_m() -> None:
    for program in (["-m", "rlp_bench"], ["-c", "from rlp_bench.cli.main import main; main()"]):
        command = [sys.executable, *program, "--version"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert run.stdout == f"rlp-bench {rlp_bench.__version__}\n"


def test_a_user_error_of_python_m_is_one_line_and_status_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rlp_bench", "baseline", "show", "nowhere.jsonl"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2
    assert re.fullmatch(r"error: .*nowhere\.jsonl.*\n", run.stderr)


def in_bash(line: str) -> dict[str, str]:
    """The environment in which bash asks for what may stand at the end of a line."""
    words = line.split(" ")
    return {"_RLP_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rlp-bench lea", ["leaderboard"]),
        ("rlp-bench run --method rlp_", ["rlp_spg", "rlp_uml"]),
        ("rlp-bench run --method strang", ["stranger", "stranger_confused"]),
        ("rlp-bench matrix --methods sft,pp", ["sft,ppo", "sft,ppo_no_kl"]),
        ("rlp-bench run --recipe na", ["nano"]),
        ("rlp-bench validate na", ["nano"]),
        ("rlp-bench run --recipe smol_1gpu --suite vi", ["vicuna"]),
        ("rlp-bench run --recipe nowhere.toml --suite vi", []),
        ("rlp-bench audit replay --suite llmbar_", ["llmbar_pairs"]),
        ("rlp-bench audit micro_s", ["micro_second"]),
        ("rlp-bench eval --judge long", ["longest"]),
        ("rlp-bench leaderboard --board htm", ["html"]),
        ("rlp-bench ls art", ["artifacts"]),
        ("rlp-bench show trai", ["trainer"]),
        ("rlp-bench show trainer stranger_p", ["stranger_parrot"]),
        ("rlp-bench cp recipe nan", ["nano"]),
        ("rlp-bench samples --view p", ["pairs"]),
    ],
)
def test_a_shell_completes_names_of_installed_plugins_recipes_and_suites(
    stranger_plugins: None, line: str, offered: list[str]
) -> None:
    result = CliRunner().invoke(app, [], prog_name="rlp-bench", env=in_bash(line))
    assert result.exit_code == 0
    assert result.output.split() == offered


COMPLETION = """
import sys
sys.argv = ["rlp-bench"]
from rlp_bench.cli.main import main
try:
    main()
except SystemExit:
    pass
print("HEAVY", *sorted({"torch", "numpy", "pandas", "rlp_bench.recipes.load"} & set(sys.modules)))
"""


def test_completing_a_name_imports_nothing_heavy() -> None:
    env = {**os.environ, **in_bash("rlp-bench run --method sf")}
    command = [sys.executable, "-c", COMPLETION]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert (run.stdout.split(), run.stderr) == (["sft", "HEAVY"], "")
