"""CONTRIBUTING.md's package, written as it stands there, installed, and run."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from patience import PATIENCE

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the package of the document was installed, offline."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "my_package").mkdir()
    (source / "my_package" / "__init__.py").touch()
    for name, text in BLOCKS.items():
        (source / name).write_text(text, encoding="utf-8")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True, text=True)
    return target


def call(package: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rlp_bench", *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(package), "COLUMNS": "200"},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_every_block_of_code_names_the_file_that_it_is() -> None:
    assert len(BLOCKS) == len(re.findall(r"^```(?:python|toml)$", TEXT, flags=re.MULTILINE))
    assert set(BLOCKS) == {"pyproject.toml"} | {
        f"my_package/{name}.py" for name in ("nearest", "shortest", "greetings", "ppo_twice")
    }


def test_doctor_finds_the_package_sound(package: Path, tmp_path: Path) -> None:
    done = call(package, tmp_path, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = {check["check"]: check["found"] for check in json.loads(done.stdout)["checks"]}
    for group, name in (("trainers", "nearest"), ("judges", "shortest"), ("methods", "ppo_twice")):
        assert name in found[group].split(", ")


def test_its_method_is_planned_on_its_suite(package: Path, tmp_path: Path) -> None:
    sets = (
        "--set",
        "data.source=greetings",
        "--set",
        "suites.greetings=greetings",
        "--set",
        "judge.name=shortest",
    )
    done = call(package, tmp_path, "plan", "--method", "ppo_twice", "--recipe", "nano", "--json", *sets)
    assert done.returncode == 0, done.stderr
    assert [stage["stage"] for stage in json.loads(done.stdout)["stages"]][-2:] == ["ppo", "ppo-2"]


def test_its_trainer_judge_and_suite_do_what_they_say(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlp_bench.api import Pair

    monkeypatch.syspath_prepend(str(package))
    nearest, shortest, greetings = (
        importlib.import_module(f"my_package.{name}") for name in ("nearest", "shortest", "greetings")
    )
    suite = greetings.Greetings()
    assert len(suite.items()) == 10
    demonstrations, prompts = suite.split("sft", 3), suite.split("unlabeled", 2)
    inputs = {
        "demonstrations": SimpleNamespace(rows=lambda: demonstrations),
        "prompts": SimpleNamespace(rows=lambda: prompts),
    }
    context = SimpleNamespace(progress=lambda done, total: None)
    assert nearest.Nearest().train(inputs, tmp_path, context) == {"answered": 1.0}
    assert nearest.Nearest(least=9).train(inputs, tmp_path, context) == {"answered": 0.0}
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2
    verdicts = shortest.Shortest().judge([Pair("q", "a", "bb"), Pair("q", "aa", "b"), Pair("q", "a", "b")])
    assert [verdict.preference for verdict in verdicts] == [1.0, 0.0, 0.5]
