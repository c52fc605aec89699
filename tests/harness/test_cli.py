"""The command line, as people and programs use it: a stranger's plugins, exit statuses, one-line errors."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]


def run(cli: Cli, recipe: Path, *more: str, method: str = "stranger") -> subprocess.CompletedProcess[str]:
    return cli("run", "--method", method, "--recipe", recipe, *more)


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The single line on stderr of a user error."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


HELP = """
import sys
sys.argv = ["rlp-bench", *sys.argv[1:]]
from rlp_bench.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "transformers", "pandas", "numpy", "scipy", "rlp_bench.recipes.load"}
if "--help" in sys.argv:
    heavy |= {"rich"}
if sys.argv[1] == "--help":  # for a command's parameters typer itself imports it
    heavy |= {"pydantic", "importlib.metadata"}
heavy &= set(sys.modules)
print("HEAVY", *sorted(heavy), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["ls", "methods"], ["ls"], ["run", "--help"], ["report", "html", "--help"]]
)
def test_help_and_listing_import_nothing_heavy(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-c", HELP, *arguments], capture_output=True, text=True, check=True
    )
    assert result.stderr.split() == ["HEAVY"]
    assert len(result.stdout) > 50


def test_help_takes_little_more_than_the_libraries_that_print_it(cold_cli: Cli) -> None:
    """CPU seconds beside theirs, the least of three: seconds on somebody's busy machine say nothing."""

    def spent(call: Callable[[], subprocess.CompletedProcess[str]]) -> float:
        before = os.times()
        assert call().returncode == 0
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    libraries = [sys.executable, "-c", "import typer, rich.console"]
    rounds = [
        (spent(lambda: cold_cli("--help")), spent(lambda: subprocess.run(libraries, text=True)))
        for _ in range(3)
    ]
    ours, theirs = (min(column) for column in zip(*rounds, strict=True))
    assert ours < 3 * theirs


def test_strangers_trainer_judge_suite_and_method_are_listed_like_our_own(cli: Cli) -> None:
    for what in ("methods", "trainers", "judges", "suites", "engines"):
        rows = json.loads(cli("ls", what, "--json").stdout)["rows"]
        theirs = [row["name"] for row in rows if row["package"] == "rlp-bench-stranger"]
        assert theirs, what
        assert any(row["package"] == "rlp-bench" for row in rows), what


def test_stranger_runs_from_recipe_to_report_and_a_second_time_for_nothing(
    cold_cli: Cli, recipe_file: Path, tmp_path: Path
) -> None:
    first = run(cold_cli, recipe_file, "--json")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    (suite,) = said["report"]["suites"]
    # The parrots' answers ("pardon" to unknown prompts) are shorter than every reference.
    assert suite["win_rate"] == 100.0
    assert (suite["n_items"], suite["n_scored"]) == (10, 10)
    assert (tmp_path / said["run"] / "report.json").exists()
    second = run(cold_cli, recipe_file)
    assert "started" not in second.stderr
    assert second.stderr.count(": reused (") == 5
    assert "Stages" in second.stdout
    assert str(Path(said["run"]).name) in second.stdout


def test_outputs_file_is_judged_by_the_strangers_judge_on_the_strangers_suite(
    cli: Cli, recipe_file: Path, tmp_path: Path
) -> None:
    words = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    rows = [
        {"instruction": f"greet {word}", "output": "hi" if i < 7 else "h" * 99, "generator": "me"}
        for i, word in enumerate(words)
    ]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    options = ("--suite", "greetings", "--outputs", "mine.json", "--judge", "stranger_shortest")
    result = cli("eval", *options, "--recipe", recipe_file, "--json")
    assert result.returncode == 0, result.stderr
    [report] = json.loads(result.stdout)["suites"]
    assert report["win_rate"] == pytest.approx(70.0)  # 7 of 10 are shorter than the reference
    assert report["n_items"] == 10


def test_plan_shows_what_is_there(cli: Cli, recipe_file: Path) -> None:
    arguments = ("plan", "--method", "stranger", "--recipe", recipe_file, "--json")
    before = json.loads(cli(*arguments).stdout)
    assert [stage["there"] for stage in before["stages"] if stage["trainer"] != "checkpoint"] == [False] * 5
    assert not list(recipe_file.parent.glob("rlp-bench-store"))
    run(cli, recipe_file, "--no-eval")
    after = json.loads(cli(*arguments).stdout)
    assert all(stage["there"] for stage in after["stages"])
    changed = json.loads(cli(*arguments, "--set", "stages.stranger_parrot.steps=9").stdout)
    states = {stage["stage"]: stage["there"] for stage in changed["stages"]}
    assert states == {
        "data-sft": True,
        "base": True,
        "stranger_parrot": False,
        "stranger_parrot-2": False,
        "data-unlabeled": True,
        "stranger_blend": False,
    }
    parrot = next(stage for stage in changed["stages"] if stage["stage"] == "stranger_parrot")
    assert parrot["estimate_from"] == "store"


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["run", "--method", "rlp_spq"], 'did you mean "rlp_spg"'),
        (["plan", "--method", "sfd"], 'did you mean "sft"'),
        (["run", "--method", "sft", "--recipe", "mirco"], 'did you mean "micro"'),
        (["run", "--method", "sft", "--suite", "vicunia"], 'did you mean "vicuna"'),
        (["run", "--method", "sft", "--set", "data.stf=3"], 'did you mean "sft"'),
        (["run", "--method", "sft", "--set", "judge.name=micro_pol"], 'did you mean "micro_pool"'),
        (["ls", "method"], 'did you mean "methods"'),
        (["show", "trainr", "sft"], 'did you mean "trainer"'),
        (["show", "trainer", "sfd"], 'did you mean "sft"'),
        (["show", "artifact", "policy-1"], "does not exist"),
        (["eval"], "has no finished run"),
        (["leaderboard"], "has no evaluated run"),
        (["validate", "nowhere.toml"], "no such file"),
        (["cp", "recipe", "nani", "x.toml"], 'did you mean "nano"'),
    ],
)
def test_mistake_is_one_line_with_the_nearest_name_and_writes_nothing(
    cli: Cli, tmp_path: Path, arguments: list[str], nearest: str
) -> None:
    assert nearest in one_line(cli(*arguments))
    assert [path.name for path in tmp_path.iterdir()] == []


def test_recipe_with_several_errors_shows_all(cli: Cli, recipe_file: Path) -> None:
    result = run(cli, recipe_file, "--set", "data.sft=-1", "--set", "judge.order=up", "--set", "x.y=1")
    assert result.returncode == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: --set ") for line in lines)


def test_usage_error_is_status_2(cli: Cli) -> None:
    for arguments in (["run"], ["nonsense"], ["run", "--method", "sft", "--seed", "x"]):
        result = cli(*arguments)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr


def test_store_from_a_newer_version(cli: Cli, recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "rlp-bench-store").mkdir()
    (tmp_path / "rlp-bench-store/store_version").write_text("99\n")
    assert "upgrade rlp-bench" in one_line(run(cli, recipe_file))


def test_store_that_is_a_file(cli: Cli, recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "another --store" in one_line(run(cli, recipe_file, "--store", "file", "--no-eval"))


def test_full_disk(cli: Cli, recipe_file: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        said = one_line(run(cli, recipe_file, "--store", str(disk / "store"), "--no-eval", "--json"))
        assert "disk is full" in said
        assert list(disk.glob("store/artifacts/.partial*")) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_ls_show_cp_validate_gc_doctor(cli: Cli, recipe_file: Path, tmp_path: Path) -> None:
    assert run(cli, recipe_file, "--no-eval").returncode == 0
    artifacts = json.loads(cli("ls", "artifacts", "--json").stdout)["rows"]
    assert [row["stage"] for row in artifacts].count("stranger_blend") == 1
    (listed,) = json.loads(cli("ls", "runs", "--json").stdout)["rows"]
    assert (listed["status"], listed["method"], listed["seed"]) == ("done", "stranger", 0)
    name = artifacts[0]["artifact"]
    assert json.loads(cli("show", "artifact", name).stdout)["fingerprint"].startswith(name.split("-")[1])
    assert json.loads(cli("show", "run", listed["run"]).stdout)["method"] == "stranger"
    trainer = json.loads(cli("show", "trainer", "stranger_parrot", "--json").stdout)
    assert trainer["settings"][0]["meaning"] == "Checkpoints to write on the way, a count."
    assert "def stranger(bench: Bench)" in cli("show", "method", "stranger").stdout
    assert cli("cp", "artifact", name, tmp_path / "copy").returncode == 0
    assert (tmp_path / "copy/manifest.json").exists()
    assert '" exists; give another name' in one_line(cli("cp", "artifact", name, tmp_path / "copy"))
    assert json.loads(cli("validate", recipe_file, "--method", "stranger", "--json").stdout)["ok"]
    assert "0 folders" in cli("gc").stdout
    doctor = cli("doctor", "--json")
    assert json.loads(doctor.stdout)["ok"], doctor.stdout
    victim = next((tmp_path / "rlp-bench-store/artifacts").glob("policy-*/parrot.json"))
    victim.write_text(victim.read_text().replace("hi", "ho"))
    broken = cli("doctor", "--json")
    assert broken.returncode == 2
    assert not json.loads(broken.stdout)["ok"]
