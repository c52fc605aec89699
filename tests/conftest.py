"""What several tests need: a stranger's installed package, the real command line, a recipe, a checkpoint."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

if find_spec("hypothesis") is not None:  # the same examples every time, however slow the machine
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("steady")
for _name in ("RLP_BENCH_STORE", "RLP_BENCH_CACHE", "GITHUB_STEP_SUMMARY", "COLUMNS"):
    os.environ.pop(_name, None)  # of the person who runs the tests
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from small_recipes import RECIPE, SMALL_SETS  # noqa: E402  # beside this file
from warm import Cold, Shared, Started, Warm, environment  # noqa: E402  # beside this file

Cli = Callable[..., subprocess.CompletedProcess[str]]


LONGEST = (
    "test_llama_recipe.py",
    "test_together.py",
    "test_ray.py",
    "test_matrix.py",
    "test_regression_nano.py",
    "test_slurm.py",
    "test_reports.py",
    "test_regression_workflow.py",
    "test_resume.py",
)
"""Files to begin with, so that no process is alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay in one process: what a file makes for all of them is made once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return LoadFileScheduling(config, log)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """shared(name, make): a folder of the whole test run, filled by `make(folder)` in whichever worker needs it first.

    Nobody writes into it afterwards: who wants to takes a copy.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def get(name: str, make: Callable[[Path], None]) -> Path:
        folder, whole = root / name, root / f"{name}.whole"
        with FileLock(root / f"{name}.lock"):
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                whole.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def warm(shared: Shared) -> Iterator[Warm | Cold]:
    """Processes without the seconds of imports, by one server of the whole test run."""
    if sys.platform != "linux":
        yield Cold()
        return

    def start(folder: Path) -> None:
        path = Path(tempfile.mkdtemp(prefix="warm-")) / "socket"  # a socket's path must be short
        Warm.launch(path)
        (folder / "path").write_text(str(path))

    server = Warm(Path((shared("warm", start) / "path").read_text()))
    yield server
    server.close()


@pytest.fixture(scope="session")
def stranger(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which tests/plugin_package was installed by pip, offline."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]

    def install(target: Path) -> None:
        source = tmp_path_factory.mktemp("source") / "stranger"
        shutil.copytree(HERE / "plugin_package", source, ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
        subprocess.run(command, check=True, capture_output=True, text=True)

    return shared("stranger", install)


@pytest.fixture
def cli(warm: Warm | Cold, stranger: Path, tmp_path: Path) -> Cli:
    """Does `rlp-bench ARGUMENTS` in an empty folder, the stranger's package visible; the imports are there already."""

    def call(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {**environment(stranger), **variables}
        return warm.run(*arguments, cwd=tmp_path, env=env, timeout=600)

    return call


@pytest.fixture
def cold_cli(stranger: Path, tmp_path: Path) -> Cli:
    """Runs `rlp-bench ARGUMENTS` as a person does, in an empty folder, the stranger's package visible."""

    def call(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {**environment(stranger), **variables}
        return Cold().run(*arguments, cwd=tmp_path, env=env)

    return call


Start = Callable[..., "Started | subprocess.Popen[str]"]


@pytest.fixture
def start(warm: Warm | Cold, stranger: Path, tmp_path: Path) -> Start:
    """Starts `rlp-bench ARGUMENTS` in an empty folder, in a process group of its own, and does not wait."""

    def begin(*arguments: str, **variables: str) -> "Started | subprocess.Popen[str]":
        return warm.start(*arguments, cwd=tmp_path, env={**environment(stranger), **variables})

    return begin


@pytest.fixture
def cold_start(stranger: Path, tmp_path: Path) -> Start:
    """The same as a person starts it."""

    def begin(*arguments: str, **variables: str) -> "Started | subprocess.Popen[str]":
        return Cold().start(*arguments, cwd=tmp_path, env={**environment(stranger), **variables})

    return begin


@pytest.fixture
def stranger_plugins(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stranger's plugins visible in this process."""
    from rlp_bench.api import registry

    monkeypatch.syspath_prepend(str(stranger))
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder that looks like a Hugging Face checkpoint from outside; nothing loads its weights."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0, "eos_token_id": 1}))
    shutil.copy(HERE.parent / "rlp_bench" / "micro" / "base" / "tokenizer.json", folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", "eos_token": "<eos>"}))
    (folder / "model.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")  # no tensors
    return folder


@pytest.fixture
def recipe_file(checkpoint: Path, tmp_path: Path) -> Path:
    """A recipe that uses nothing but the stranger's plugins."""
    path = tmp_path / "greetings.toml"
    path.write_text(RECIPE.format(checkpoint=checkpoint))
    return path


def made(warm: Warm | Cold, *command: object, cwd: Path) -> None:
    """Does a command that must succeed; patient, for a busy machine."""
    done = warm.run(*command, cwd=cwd, env=environment(), timeout=1800)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def nano_trained(shared: Shared, warm: Warm | Cold) -> Path:
    """A store in which the recipe `nano` was trained by RLP-SPG, and nothing was evaluated; nobody writes into it."""

    def make(folder: Path) -> None:
        command = ("run", "--method", "rlp_spg", "--recipe", "nano", "--no-eval", "--store", "store")
        made(warm, *command, cwd=folder)

    return shared("nano-trained", make) / "store"


@pytest.fixture(scope="session")
def nano_store(shared: Shared, warm: Warm | Cold, nano_trained: Path) -> Path:
    """`nano_trained`, and the evaluated run of its SFT policy; nobody writes into it."""

    def make(folder: Path) -> None:
        shutil.copytree(nano_trained, folder / "store")
        command = ("run", "--method", "sft", "--recipe", "nano", "--store", "store")
        made(warm, *command, cwd=folder)

    return shared("nano-store", make) / "store"


@pytest.fixture(scope="session")
def small_matrix(shared: Shared, warm: Warm | Cold) -> tuple[Path, list[str]]:
    """(a store with a small matrix, its --set options): four methods, two seeds, 80 items; nobody writes into it."""
    sets = [part for one in SMALL_SETS for part in ("--set", one)]

    def make(folder: Path) -> None:
        what = ("--methods", "ppo,rlaif,rlp_spg,select_all", "--seeds", "0..1", "--untuned", "--jobs", "1")
        command = ("matrix", "--recipe", "nano", *what, *sets, "--store", "store")
        made(warm, *command, cwd=folder)

    return shared("small-matrix", make) / "store", sets
