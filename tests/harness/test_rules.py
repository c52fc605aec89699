"""The five rules of docs/architecture.md, and what importing plug-ins may cost."""

import ast
import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rlp_bench.api
from rlp_bench.api import registry
from rlp_bench.api.protocols import Context

ROOT = Path(__file__).parents[2]
ROOMS = ("trainers", "judges", "suites", "leaderboard")
HARNESS = [
    path
    for path in (ROOT / "rlp_bench").rglob("*.py")
    if path.relative_to(ROOT / "rlp_bench").parts[0] not in ROOMS and not path.is_symlink()
]
DOOR = "rlp_bench.api"
"""What plug-ins import of the harness: names of `rlp_bench.api.__all__`, from nowhere deeper."""
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
def test_leaves_import_nothing_of_ours_but_errors_and_the_reader(leaf: str) -> None:
    found = sorted((ROOT / leaf.replace(".", "/")).rglob("*.py"))
    names = {name for path in found for name in imports(path, package_of(path)) if ours(name)}
    reader = {"rlp_bench.api.errors", "rlp_bench.api.documents"}
    allowed = {leaf} if leaf == "rlp_bench.micro" else {leaf, *reader}
    assert found
    assert {name for name in names if not inside(name, allowed)} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_rule_2_plugins_import_the_door_the_leaves_and_their_own_room(room: str) -> None:
    door = {f"{DOOR}.{name}" for name in rlp_bench.api.__all__}
    for path in files(room):
        allowed = {f"rlp_bench.{room}", *LEAVES}
        if path.parent.name == "methods":
            allowed.add("rlp_bench.plan")
        if room == "leaderboard":
            allowed.add("rlp_bench.statistics")  # intervals and tests: a second copy would be worse
        names = [name for name in imports(path, package_of(path)) if ours(name)]
        assert [name for name in names if name not in door and not inside(name, allowed)] == [], path


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
        "training", "process_group",
    }  # fmt: skip


def test_rule_4_no_trainer_looks_a_suite_or_judge_up_by_name() -> None:
    for path in files("trainers"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", "") in ("load", "resolve", "_entry")
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
            "strengths",
        }, name
        assert set(trainer.uses) <= {"prompting", "annotator", "engine", "training"}, name
        assert trainer.name == name


EVERY_PLUGIN = """
import sys
from rlp_bench.api import registry
for group in registry.GROUPS:
    for name in registry.names(group):
        registry.load(group, name)
print(*sorted({"torch", "transformers", "trl", "pandas"} & set(sys.modules)))
"""


def test_loading_every_plugin_imports_no_torch() -> None:
    run = subprocess.run([sys.executable, "-c", EVERY_PLUGIN], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


LAZY = {
    "trainers/entailment/nli.py",
    "trainers/generation/transformers_engine.py",
    "trainers/generation/vllm_engine.py",
}
"""Engines and entailment models are registered classes themselves: naming one must cost nothing."""


def local_imports(path: Path) -> list[str]:
    """Modules of ours that a file imports inside functions."""
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    inner = {node for function in functions for node in ast.walk(function)}
    return [
        "." * node.level + (node.module or "")
        for node in inner
        if isinstance(node, ast.ImportFrom) and (node.level or ours(node.module or ""))
    ]


def test_stages_import_at_their_top_and_only_their_loop_when_they_run() -> None:
    found = {str(path.relative_to(ROOT)): local_imports(path) for path in files("trainers")}
    found = {path: names for path, names in found.items() if names and path not in LAZY}
    assert {path for path in found if path.endswith("/trainer.py")} == set(found)
    assert {name for names in found.values() for name in names} == {".loop"}


def test_every_built_in_plugin_names_what_its_class_says() -> None:
    for group in ("judge", "suite"):
        for name in registry.names(group):
            assert registry.load(group, name).name == name


# --- Rule 5: floors, and no circles -------------------------------------------------------------------

FLOORS = (
    "api", "statistics", "display", "micro", "endpoint", "store", "recipes", "plan", "run", "evaluation", "regression",
    "export", "perf", "matrix", "analysis", "cli",
)  # fmt: skip
"""Rooms of the harness from the ground up; a room imports only those before it."""
TRAINER_FLOORS = (
    "equations", "data", "modeling", "training", "generation", "ppo", "reward", "preferences", "policies", "entailment",
    "methods",
)  # fmt: skip
"""Rooms of trainers/ from the ground up."""


def module_of(path: Path) -> str:
    """The dotted name of a file's module."""
    return package_of(path) if path.name == "__init__.py" else f"{package_of(path)}.{path.stem}"


def import_graph() -> dict[str, set[str]]:
    """Module -> modules of ours that it imports, at its top or inside functions."""
    paths = [*HARNESS, *(path for room in ROOMS for path in files(room))]
    modules = {module_of(path): path for path in paths}
    graph = {}
    for module, path in modules.items():
        named = {
            name if name in modules else name.rpartition(".")[0] for name in imports(path, package_of(path))
        }
        graph[module] = {name for name in named if name in modules and name != module}
    return graph


def floor_of(module: str) -> tuple[tuple[str, ...], int] | None:
    """(the list of floors that a module belongs to, its place there); None for what is above all rooms."""
    parts = module.split(".")[1:]
    floors, room = (TRAINER_FLOORS, parts[1:]) if parts[:1] == ["trainers"] else (FLOORS, parts)
    if not room or room[0] == "__main__" or parts[0] in ("judges", "suites", "leaderboard"):
        return None
    return floors, floors.index(room[0])


def upward(graph: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Imports of a room by one that is listed before it."""
    found = []
    for module, imported in graph.items():
        for other in imported:
            here, there = floor_of(module), floor_of(other)
            if here and there and here[0] is there[0] and there[1] > here[1]:
                found.append((module, other))
    return sorted(found)


def circles(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other, directly or by way of others."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_rule_5_every_room_has_a_floor_and_imports_only_lower_ones() -> None:
    rooms = {path.name for path in (ROOT / "rlp_bench").iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in (ROOT / "rlp_bench").glob("[!_]*.py")}
    assert (rooms | modules) - set(ROOMS) == set(FLOORS)
    folders = {path.name for path in (ROOT / "trainers").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(TRAINER_FLOORS)
    assert upward(import_graph()) == []


def test_rule_5_no_file_imports_itself_by_way_of_others() -> None:
    graph = import_graph()
    assert len(graph) > 200
    assert circles(graph) == []


def test_upward_imports_and_circles_are_seen() -> None:
    graph = {"rlp_bench.api.types": {"rlp_bench.plan.graph"}, "rlp_bench.plan.graph": {"rlp_bench.api.types"}}
    assert upward(graph) == [("rlp_bench.api.types", "rlp_bench.plan.graph")]
    assert set(circles(graph)) == set(graph)


# --- Texts are printed by display alone, which escapes them ----------------------------------------------

SPEAKERS = ("display.py", "run/worker.py", "perf/timed_process.py", "plan/measured_cost.py")
"""Files of the harness that may write to stdout: display, processes that answer their parent, and a tool."""


def speaks(path: Path) -> list[str]:
    """What a file prints with past `rlp_bench.display`: print, streams, rich."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("print", "sys.stdout.write", "sys.stderr.write", "typer.echo", "click.echo"):
                found.append(called)
    return [*found, *(name for name in imports(path, package_of(path)) if name.partition(".")[0] == "rich")]


def test_only_display_prints_for_people() -> None:
    paths = [*HARNESS, *(path for room in ROOMS for path in files(room))]
    inside = {
        str(path.relative_to(ROOT / "rlp_bench")): path
        for path in paths
        if path.is_relative_to(ROOT / "rlp_bench")
    }
    inside |= {
        str(path.relative_to(ROOT)): path for path in paths if not path.is_relative_to(ROOT / "rlp_bench")
    }
    found = {name: speaks(path) for name, path in inside.items() if name not in SPEAKERS}
    assert {name: how for name, how in found.items() if how} == {}


def test_what_prints_past_display_is_seen(tmp_path: Path) -> None:
    path = ROOT / "rlp_bench/display.py"
    assert {"sys.stdout.write", "rich.table.Table"} <= set(speaks(path))


# --- Files are written by rlp_bench.api.files ----------------------------------------------------------

WRITERS = {
    "rlp_bench/api/files.py": "the one place",
    "rlp_bench/display.py": "the null device, in place of a closed stream",
    "rlp_bench/store/manifest.py": "marks of the last check; half a file has no seal and is none",
    "rlp_bench/micro/pretrain.py": "a leaf imports nothing of ours; writes a new folder of the package's own",
    "rlp_bench/regression/history.py": "appends a line",
    "rlp_bench/cli/regress.py": "appends to GitHub's summary",
    "rlp_bench/matrix/executors/shared_folder.py": "appends a line",
    "rlp_bench/run/runner.py": "appends a mark to the count of attempts",
    "rlp_bench/run/launcher.py": "appends to a log",
    "rlp_bench/perf/timed_process.py": "a log of the process itself",
    "trainers/training/checkpointing.py": "safetensors in a folder that is renamed when it is complete",
    "trainers/modeling/head_padding.py": "safetensors in a folder of the running process",
}
"""Files that open others for writing by themselves -> why that is no half-written file that is read as complete."""


def writes(path: Path) -> list[int]:
    """Lines that write a file directly: `open` with a mode other than reading, `write_text`, `save_file`, ..."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        opens = name == "open" and any(set(mode) & set("wax+") and len(mode) < 4 for mode in modes)
        method = isinstance(node.func, ast.Attribute) and name in ("write_text", "write_bytes")
        if opens or method or name in ("save_file", "NamedTemporaryFile", "mkstemp", "to_csv", "to_parquet"):
            found.append(node.lineno)
    return found


def test_files_are_written_by_one_writer() -> None:
    paths = [*HARNESS, *(path for room in ROOMS for path in files(room))]
    found = {str(path.relative_to(ROOT)) for path in paths if writes(path)}
    assert found == set(WRITERS)


def test_direct_writes_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "path.write_text('a')\nopen('a', 'w')\npath.open(mode='xb')\nopen('b.txt')\nwrite_text(path, 'a')\n"
    )
    assert writes(path) == [1, 2, 3]
