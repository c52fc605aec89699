"""An installed wheel holds everything that the checkout does, built directly or from the sdist."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("trainers", "judges", "suites", "leaderboard")
CARRIED = {".py", ".toml", ".json", ".txt", ".typed", ".safetensors", ".css", ".js", ".j2"}
NOT_CARRIED = shutil.ignore_patterns(
    ".*",
    "*.egg-info",
    "build",
    "dist",
    "__pycache__",
    "rlp-bench-store",
    "tests",
    "docs",
)


def expected() -> set[str]:
    """Every source and data file of the package, linked folders included."""
    found = set()
    for folder, _, names in os.walk(ROOT / "rlp_bench", followlinks=True):
        if "__pycache__" not in folder:
            found |= {
                (Path(folder) / name).relative_to(ROOT).as_posix()
                for name in names
                if Path(name).suffix in CARRIED
            }
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """{"sdist", "from_sdist", "direct"}: built offline from a copy of the checkout."""
    source = tmp_path_factory.mktemp("build") / "checkout"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_CARRIED)
    out = {}
    for name, options in (("from_sdist", []), ("direct", ["--wheel"])):
        target = source.parent / name
        command = [sys.executable, "-m", "build", "--no-isolation", *options, "-o", str(target), str(source)]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        (out[name],) = target.glob("*.whl")
    (out["sdist"],) = (source.parent / "from_sdist").glob("*.tar.gz")
    return out


@pytest.mark.parametrize("name", ["direct", "from_sdist"])
def test_wheel_holds_every_file_of_the_harness_and_the_four_rooms(built: dict[str, Path], name: str) -> None:
    with zipfile.ZipFile(built[name]) as wheel:
        names = set(wheel.namelist())
    assert expected() - names == set()
    for room in ROOMS:
        assert any(each.startswith(f"rlp_bench/{room}/") for each in names)
    assert any(each.endswith("licenses/LICENSE") for each in names)
    tops = {each.partition("/")[0] for each in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rlp_bench"}


def test_sdist_holds_the_license_and_every_file(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {each.partition("/")[2] for each in sdist.getnames()}
    assert expected() - names == set()
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_installed_wheel_works_without_the_checkout(built: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
    ]
    subprocess.run([*command, str(built["from_sdist"])], check=True, capture_output=True)
    env = {**os.environ, "PYTHONPATH": str(target)}

    def call(*command: str) -> str:
        run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    where = call(
        sys.executable, "-c", "import rlp_bench.trainers as t, rlp_bench as r; print(r.__file__, t.__file__)"
    )
    assert all(path.startswith(str(target)) for path in where.split())
    script = str(target / "bin/rlp-bench")
    assert "run" in call(sys.executable, script, "--help")
    assert "rlp_spg" in call(sys.executable, script, "ls", "methods")
    assert "nano@" in call(sys.executable, script, "show", "recipe", "nano")
    assert "missing" in call(sys.executable, script, "plan", "--method", "rlp_spg", "--recipe", "nano")
