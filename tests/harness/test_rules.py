"""The four rules that hold the house up (DESIGN.md, section 2), and what importing plugins may cost."""

import ast
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlp_bench import registry
from rlp_bench.nouns import Context

ROOT = Path(__file__).parents[2]
ROOMS = ("trainers", "judges", "suites", "leaderboard")
HARNESS = [
    path
    for path in (ROOT / "rlp_bench").rglob("*.py")
    if path.relative_to(ROOT / "rlp_bench").parts[0] not in ROOMS and not path.is_symlink()
]
OPEN = {"rlp_bench.nouns", "rlp_bench.errors", "rlp_bench.registry"}
"""What any plugin may import of the harness."""
LEAVES = ("rlp_bench.micro", "rlp_bench.endpoint")
"""Parts of the package that know nothing of the rest; plugins may import them."""


def imports(path: Path, package: str) -> Iterator[str]:
    """Absolute names of everything a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def package_of(path: Path) -> str:
    """The package that a file's relative imports start from."""
    parts = path.relative_to(ROOT).with_suffix("").parts[:-1]
    return ".".join(parts if parts[0] == "rlp_bench" else ("rlp_bench", *parts))


def ours(name: str) -> bool:
    return name == "rlp_bench" or name.startswith("rlp_bench.")


def inside(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def test_the_import_reader_sees_all_forms(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b\ndef f():\n    from . import c\n    from ..d import e\n    import_module('g')\n"
    )
    assert list(imports(path, "rlp_bench.judges")) == ["a.b", "rlp_bench.judges.c", "rlp_bench.d.e", "g"]


def test_rule_1_harness_never_imports_a_plugin() -> None:
    forbidden = {f"rlp_bench.{room}" for room in ROOMS}
    assert len(HARNESS) > 10
    found = [
        (str(path), name)
        for path in HARNESS
        for name in imports(path, package_of(path))
        if inside(name, forbidden)
    ]
    assert found == []


@pytest.mark.parametrize("leaf", LEAVES)
def test_leaves_import_nothing_of_ours_but_errors(leaf: str) -> None:
    found = sorted((ROOT / leaf.replace(".", "/")).rglob("*.py"))
    names = {name for path in found for name in imports(path, package_of(path)) if ours(name)}
    allowed = {leaf} if leaf == "rlp_bench.micro" else {leaf, "rlp_bench.errors"}
    assert found
    assert {name for name in names if not inside(name, allowed)} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_rule_2_rooms_import_only_nouns_errors_registry_and_themselves(room: str) -> None:
    allowed = {*OPEN, f"rlp_bench.{room}", *LEAVES}
    for path in files(room):
        extra = {"rlp_bench.plan"} if path.parent.name == "methods" else set()
        if room == "leaderboard":
            extra = {"rlp_bench.statistics"}  # intervals and tests: a second copy would be worse
        wrong = [n for n in imports(path, package_of(path)) if ours(n) and not inside(n, allowed | extra)]
        assert wrong == [], path


def test_rule_3_equations_know_nothing_of_ours_and_do_no_io() -> None:
    io = {"os", "pathlib", "json", "io", "shutil", "tomllib", "logging", "transformers", "subprocess"}
    found = sorted((ROOT / "trainers/equations").glob("[!_]*.py"))
    assert found
    for path in found:
        names = list(imports(path, package_of(path)))
        assert [name for name in names if ours(name)] == [], path
        assert io & {name.partition(".")[0] for name in names} == set(), path
        calls = [
            n.func.id
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        ]
        assert {"open", "print", "input"} & set(calls) == set(), path


def test_rule_4_context_holds_no_suite_judge_or_reference() -> None:
    given = {field.name for field in dataclasses.fields(Context)}
    assert given == {
        "seed", "device", "prompting", "scratch", "progress", "meter", "engine", "annotator", "processes",
        "training", "world",
    }  # fmt: skip


def test_rule_4_no_trainer_looks_a_suite_or_judge_up_by_name() -> None:
    for path in files("trainers"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", "") in ("load", "_entry")
                and node.args
            ):
                group = node.args[0]
                if isinstance(group, ast.Constant):
                    assert group.value not in ("suite", "judge", "board"), path


def test_rule_4_no_trainer_takes_evaluation_artifacts() -> None:
    for name in registry.names("trainer"):
        trainer = registry.load("trainer", name)
        kinds = {kind.rstrip("*?") for kind in trainer.inputs.values()}
        assert kinds <= {
            "policy",
            "reward",
            "demonstrations",
            "prompts",
            "pairs",
            "preferences",
            "samples",
        }, name
        assert set(trainer.uses) <= {"prompting", "annotator", "engine", "training"}, name
        assert trainer.name == name


EVERY_PLUGIN = """
import sys
from rlp_bench import registry
for group in registry.GROUPS:
    for name in registry.names(group):
        registry.load(group, name)
print(*sorted({"torch", "transformers", "trl", "pandas"} & set(sys.modules)))
"""


def test_loading_every_plugin_imports_no_torch() -> None:
    run = subprocess.run([sys.executable, "-c", EVERY_PLUGIN], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_every_built_in_plugin_names_what_its_class_says() -> None:
    for group in ("judge", "suite"):
        for name in registry.names(group):
            assert registry.load(group, name).name == name
