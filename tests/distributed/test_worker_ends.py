"""How the processes that train a stage end: with their work told they are done, whatever happens to them then."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import Training
from rlp_bench.display import Display
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.recipes.schema import Compute
from rlp_bench.run.launcher import train_together
from rlp_bench.run.runner import run_plan
from rlp_bench.store.store import Store

HERE = Path(__file__).parent
ENTRIES = """
[rlp_bench.trainers]
faulty = faulty_trainer:Faulty
[rlp_bench.methods]
faulty = faulty_trainer:faulty
"""


@pytest.fixture
def installed(stranger_plugins, stranger, tmp_path, monkeypatch):
    """A package that offers faulty_trainer.py, seen here and by the workers."""
    package = tmp_path / "site"
    information = package / "faulty-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRIES)
    (package / "faulty_trainer.py").write_text((HERE / "faulty_trainer.py").read_text())
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package), str(stranger)]))
    registry._entries.cache_clear()


class Asked(SimpleNamespace):
    """What `train_together` takes of a stage's context, and what it said."""

    def trained(self, end: str) -> dict[str, float]:
        """The metrics of the stage, by one worker."""
        out = self.scratch / "out"
        out.mkdir()
        compute = Compute(strategy="ddp", workers=1)
        return dict(train_together("faulty", {"end": end}, {}, out, self, compute, self.warned.append))  # type: ignore[arg-type]


@pytest.fixture
def asked(installed: None, tmp_path: Path) -> Asked:
    counted: dict[str, Any] = {}
    return Asked(
        scratch=tmp_path, seed=0, prompting=None, training=Training(), progress=print, warned=[],
        meter=SimpleNamespace(count=counted.update),
    )  # fmt: skip


def run_of(recipe_file: Path, store: Store, end: str):
    overrides = ["compute.strategy=ddp", "compute.workers=2", f"stages.faulty.end={end}"]
    plan = build_plan(load_recipe(str(recipe_file), overrides), "faulty", 0)
    return run_plan(plan, store, Display(quiet=True))


def test_a_worker_leaves_before_python_finalises(asked):
    assert asked.trained("finalised") == {"answers": 7.0}
    assert asked.warned == []


def test_a_stage_is_kept_with_a_warning_where_a_worker_aborts_after_the_metrics_were_told(
    installed, recipe_file, tmp_path, capfd
):
    store = Store(tmp_path / "store")
    run = run_of(recipe_file, store, "after")
    artifact = run.policy
    assert artifact.metrics["answers"] == 7.0
    assert (artifact.path / "parrot.json").exists()
    [line] = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert "ended with status 1 after the stage was complete; its result is kept" in line
    assert "Signal 6 (SIGABRT)" in line


def test_a_stage_is_an_error_where_a_worker_aborts_before(installed, recipe_file, tmp_path):
    store = Store(tmp_path / "store")
    with pytest.raises(RuntimeError, match=r"ended with status 1; the end of [^$]*SIGABRT"):
        run_of(recipe_file, store, "before")
    assert not list((tmp_path / "store").glob("artifacts/[!.]*/parrot.json"))


def test_a_workers_bug_is_told_with_its_traceback(asked):
    with pytest.raises(RuntimeError, match="ended with status 1"):
        asked.trained("bug")
    log = (asked.scratch / "workers.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert "ValueError: three is not two" in log


def test_a_workers_user_error_is_told_as_it_was(asked):
    with pytest.raises(BenchError, match=r"^faulty: end is user; expected another; choose one$"):
        asked.trained("user")
