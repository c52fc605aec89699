"""Trackers: curves as log.jsonl has them, written once, and nothing else changes; asked for wrongly, one line."""

import json
import math
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from rlp_bench.api.errors import BenchError, UnknownName
from rlp_bench.api.files import read_jsonl
from rlp_bench.run import trackers

Cli = Callable[..., subprocess.CompletedProcess[str]]
SMALL = [
    "data.sft=64", "data.preferences=64", "stages.ppo.rollouts=2", "stages.ppo.snapshots=[1,2]",
    "evaluation.suites=['vicuna']", "evaluation.dev_pairs=8", "tuning.prompts=8", "evaluation.trajectory=[1]",
]  # fmt: skip
SETS = [word for text in SMALL for word in ("--set", text)]
TRAIN = ("run", "--method", "ppo", "--recipe", "nano", *SETS, "--no-eval")
CURVES = "runs/nano/*/tracking/tensorboard/[!.]*"


def contents(store: Path) -> dict[str, str]:
    """Artifact -> hash of all that counts as its content."""
    found = sorted(store.glob("artifacts/[!.]*/manifest.json"))
    return {path.parent.name: json.loads(path.read_text())["content"] for path in found}


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric -> (step, value), read by TensorBoard's own reader."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = events.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


@pytest.fixture(scope="module")
def tensorboard() -> None:
    pytest.importorskip("tensorboard", reason="pip install rlp-bench[trackers]")


@pytest.mark.usefixtures("tensorboard")
def test_tracked_run_has_the_same_bytes_and_the_curves_of_its_logs(cli: Cli, tmp_path: Path) -> None:
    assert cli(*TRAIN, "--store", "plain").returncode == 0
    tracked = cli(*TRAIN, "--store", "tracked", "--track", "tensorboard")
    assert tracked.returncode == 0, tracked.stderr
    assert "tracking" in tracked.stdout
    assert contents(tmp_path / "tracked") == contents(tmp_path / "plain")
    assert not list((tmp_path / "plain").glob("runs/*/*/tracking"))
    found = {path.name: path for path in (tmp_path / "tracked").glob(CURVES)}
    assert {name.rpartition("-")[0] for name in found} == {"sft", "reward", "ppo"}
    for name, folder in found.items():
        mark = name.rpartition("-")[2]
        [log] = (tmp_path / "tracked").glob(f"artifacts/*-{mark}*/log.jsonl")
        rows = list(read_jsonl(log))
        read = curves(folder)
        assert set(read) == set(rows[0]) - {"step", "rollout"}
        for metric, points in read.items():
            assert [step for step, _ in points] == [row.get("step", row.get("rollout")) for row in rows]
            # an event file holds float32: 24 bits
            assert all(
                math.isclose(value, row[metric], rel_tol=2**-23, abs_tol=1e-30)
                for (_, value), row in zip(points, rows, strict=True)
            )


@pytest.mark.usefixtures("tensorboard")
def test_a_curve_is_written_once_also_where_the_stage_was_made_without_tracker(
    cli: Cli, tmp_path: Path
) -> None:
    sft = ("run", "--method", "sft", "--recipe", "nano", *SETS, "--no-eval", "--store", "store")
    assert cli(*sft).returncode == 0
    assert not list((tmp_path / "store").glob(CURVES))
    half = tmp_path / "store/runs/nano/ppo-s0-00000000/tracking/tensorboard/.partial-sft-00000000"
    half.mkdir(parents=True)  # a kill in the middle of writing
    assert cli(*sft, "--track", "tensorboard").returncode == 0
    [first] = (tmp_path / "store").glob("runs/nano/sft-*/tracking/tensorboard/*")
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    for arguments in (sft, (*TRAIN, "--store", "store")):
        result = cli(*arguments, "--track", "tensorboard,tensorboard", "--track", "tensorboard")
        assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "store").glob(CURVES))
    assert names == ["ppo", "reward", "sft"]


@pytest.mark.usefixtures("tensorboard")
def test_a_matrix_writes_each_stage_once_however_many_methods_share_it(cli: Cli, tmp_path: Path) -> None:
    asked = (
        "--methods",
        "sft,ppo,rm_retrain",
        "--seeds",
        "0",
        "--untuned",
        "--recipe",
        "nano",
        "--jobs",
        "1",
    )
    made = cli("matrix", *asked, *SETS, "--store", "store", "--track", "tensorboard")
    assert made.returncode == 0, made.stderr
    names = [path.name for path in (tmp_path / "store").glob(CURVES)]
    assert sorted(name.partition("-")[0] for name in names) == ["ppo", "ppo", "reward", "reward", "sft"]
    assert len({name.rpartition("-")[2] for name in names}) == len(names)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("tensorbord", 'did you mean "tensorboard"?'), ("", "no such tracker; (known: tensorboard")],
)
def test_an_unknown_tracker_is_one_line_before_anything_runs(
    cli: Cli, tmp_path: Path, given: str, expected: str
) -> None:
    for command in (TRAIN, ("matrix", "--recipe", "nano")):
        result = cli(*command, "--store", "store", "--track", given)
        [line] = result.stderr.strip().splitlines()
        assert (result.returncode, result.stdout) == (2, "")
        assert line.startswith(f'error: --track "{given}"')
        assert expected in line
    assert not (tmp_path / "store").exists()


def test_a_tracker_that_is_not_installed_is_one_line_before_anything_runs(cli: Cli, tmp_path: Path) -> None:
    missing = [
        name for name, packages in trackers.TRACKERS.items() if not any(map(trackers._installed, packages))
    ]
    if not missing:
        pytest.skip("every tracker is installed here")
    (tmp_path / missing[0]).mkdir()  # a folder of that name is no package, though Python could import it
    result = cli(*TRAIN, "--store", "store", "--track", missing[0])
    [line] = result.stderr.strip().splitlines()
    assert result.returncode == 2
    assert f"package {missing[0]} is not installed; `pip install {missing[0]}`" in line
    assert not (tmp_path / "store").exists()


def test_accelerate_and_wandbs_key_are_asked_for_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def known(*names: str) -> None:
        def version(package: str) -> str:
            if package not in names:
                raise PackageNotFoundError(package)
            return "1"

        monkeypatch.setattr(trackers, "version", version)

    known("tensorboard")
    with pytest.raises(BenchError, match="accelerate is not installed"):
        trackers.chosen_trackers(["tensorboard"])
    known("wandb", "accelerate")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BenchError, match="WANDB_API_KEY is not set"):
        trackers.chosen_trackers(["wandb"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert trackers.chosen_trackers(["wandb", " wandb"]) == ["wandb"]
    with pytest.raises(UnknownName):
        trackers.chosen_trackers(["wandb,all"])


def test_steps_come_from_the_row_and_only_numbers_are_metrics() -> None:
    rows = [{"rollout": 3, "kl": 1, "note": "x", "done": True}, {"step": 7, "loss": 0.5}, {"loss": 0.25}]
    assert list(trackers.steps(rows)) == [(3, {"kl": 1.0}), (7, {"loss": 0.5}), (2, {"loss": 0.25})]
