"""Whatever a file or an option says, a command ends with its own status and one line, and leaves nothing half-written.

A large run: `RLP_BENCH_FUZZ_EXAMPLES=10000 pytest tests/harness/test_fuzz_command_line.py`.
"""

# ruff: noqa: E501  # tables of values

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import fuzzing
import pytest
from fuzzing import SITUATIONS, attempt, called, seed_folder, wrong
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small_recipes import RECIPE
from warm import Cold, Shared, Warm, environment

import rlp_bench
from rlp_bench.api import registry
from rlp_bench.store.store import fingerprint, seal

EXAMPLES = int(os.environ.get("RLP_BENCH_FUZZ_EXAMPLES", "420"))
TIMINGS = {
    "version": "5",
    "machine_info": {},
    "rlp_bench": {
        "bench_version": 1,
        "cold": False,
        "machine": {"id": "a" * 16, "processor": "p", "cores": 1, "threads": 1, "torch": "2", "gpu": ""},
    },
    "benchmarks": [
        {
            "stats": {"data": [0.1] * 5},
            "extra_info": {
                "workload": "judge", "version": "1", "unit": "pairs", "waited_seconds": [0.0] * 5, "cpu_seconds": [0.1] * 5,
                "counters": {"pairs": 10}, "counters_of_rounds": [{"pairs": 10}] * 5,
            },
        }
    ],
}  # fmt: skip


def regression_files(folder: Path) -> None:
    """A report with its scores and the baseline that was accepted from it."""
    artifact = folder / "store/artifacts/verdicts-0"
    artifact.mkdir(parents=True)
    scores = [{"item_id": f"{i:016x}", "subset": "all", "score": i % 2, "reason": ""} for i in range(40)]
    (artifact / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in scores))
    seal(artifact, "verdicts", fingerprint("scores"), {"step": "verdicts"})
    suite = {
        "alias": "alpacafarm", "suite": "micro_alpacafarm", "suite_version": "1", "kind": "win_rate", "metric": "win_rate.soft",
        "order": "both", "judge": {"name": "micro_pool", "version": "1"}, "data": {"items": "i", "references": "r"},
        "coverage": {"judged": 40, "unparsed": 0}, "position_gap": 1.5, "subsets": {"all": {"n": 40}}, "win_rate": 50.0,
        "standard_error": 8.0, "ci95": [34.0, 66.0], "n_items": 40, "n_scored": 40, "scores": "artifacts/verdicts-0/scores.jsonl",
    }  # fmt: skip
    report = {"recipe": "nano@1", "method": "sft", "seed": 0, "suites": [suite]}
    (folder / "report.json").write_text(json.dumps(report))


@pytest.fixture(scope="session")
def seed(shared: Shared, warm: Warm | Cold, stranger: Path) -> Path:
    """Sound files: a store with a run of a stranger's recipe, a report, a baseline with a history, timings."""

    def make(folder: Path) -> None:
        base = folder / "base"
        base.mkdir()
        (base / "config.json").write_text(json.dumps({"pad_token_id": 0, "eos_token_id": 1}))
        shutil.copy(Path(rlp_bench.__file__).parent / "micro" / "base" / "tokenizer.json", base)
        (base / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", "eos_token": "<eos>"}))
        (base / "model.safetensors").write_bytes(b"\2" + bytes(7) + b"{}")
        (folder / "greetings.toml").write_text(RECIPE.format(checkpoint=base))
        regression_files(folder / "regression")
        accept = (
            "baseline",
            "accept",
            "--report",
            "report.json",
            "--reason",
            "x",
            "--out",
            "base.jsonl",
            "--store",
            "store",
        )
        for where, call in (
            (folder, ("run", "--method", "stranger", "--recipe", "greetings.toml", "--store", "store")),
            (folder / "regression", accept),
            (
                folder / "regression",
                (
                    "regress",
                    "--baseline",
                    "base.jsonl",
                    "--report",
                    "report.json",
                    "--margin",
                    "alpacafarm=40",
                    "--store",
                    "store",
                ),
            ),
        ):
            done = warm.run(*call, cwd=where, env=environment(stranger), timeout=600)
            assert done.returncode == 0, done.stderr

    return shared("fuzz-seed", make)


@pytest.fixture(scope="module")
def ready(seed: Path, stranger: Path) -> Iterator[None]:
    """The stranger's plug-ins and the sound files, in this process."""
    sys.path.insert(0, str(stranger))
    registry._entries.cache_clear()
    seed_folder(seed, {"timings.json": TIMINGS})
    yield
    sys.path.remove(str(stranger))
    registry._entries.cache_clear()


SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate] if EXAMPLES > 1000 else [Phase.generate, Phase.shrink],
)


@SETTINGS
@given(data=st.data())
def every_situation(data: st.DataObject) -> None:
    call, fault = attempt(
        data.draw(st.sampled_from([name for name in SITUATIONS if name not in CHANGED])), data.draw
    )
    assert not fault, f"{call}: {fault}"


CHANGED = ("stored", "checkpoint")
"""Situations in which what this package wrote was changed afterwards."""


def test_no_file_and_no_option_ends_in_a_traceback_or_leaves_anything_behind(ready: None) -> None:
    every_situation()


@settings(SETTINGS, max_examples=EXAMPLES // 4)
@given(data=st.data())
def changed_situation(data: st.DataObject) -> None:
    call, fault = attempt(data.draw(st.sampled_from(CHANGED)), data.draw)
    assert not fault, f"{call}: {fault}"


def test_no_changed_file_of_a_store_or_checkpoint_ends_in_a_traceback(ready: None) -> None:
    changed_situation()


def test_sound_files_pass(ready: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the fuzz would only ever see the first check of every file."""
    shutil.copytree(fuzzing.SEED / "regression", tmp_path, dirs_exist_ok=True)
    shutil.copytree(fuzzing.SEED / "store", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    for name, value in (("o", fuzzing.OUTPUTS), ("i", fuzzing.ITEMS), ("a", fuzzing.ANNOTATIONS)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    (tmp_path / "j.toml").write_text(fuzzing.JUDGE_FILE)
    evaluate = ["eval", "--suite", "alpacafarm:i.json", "--outputs", "o.json", "--store", "new"]
    for call in (
        [*evaluate, "--judge", "longest"],
        [*evaluate, "--judge", "human:a.json"],
        [*evaluate, "--judge", "chat:j.toml", "--dry-run"],
        [
            "regress",
            "--baseline",
            "base.jsonl",
            "--report",
            "report.json",
            "--margin",
            "alpacafarm=40",
            "--store",
            "store",
        ],
        ["leaderboard", "--store", "runs"],
        ["validate", "nano", "--method", "ppo"],
    ):
        status, out, err = called(call)
        assert status == 0, (call, out, err)


def test_what_goes_wrong_is_seen(tmp_path: Path) -> None:
    call = ["ls"]
    assert wrong(call, "Traceback (most recent call last)", "", "", tmp_path)
    assert wrong(call, 1, "", "Traceback (most recent call last)", tmp_path)
    assert wrong(call, 5, "", "", tmp_path)
    assert wrong(call, 2, "", "", tmp_path)
    assert wrong(call, 2, "", "error: a\nerror: b\n", tmp_path)
    assert not wrong(call, 2, "", "error: a\n", tmp_path)
    (tmp_path / ".report.json.123").touch()
    assert wrong(call, 0, "", "", tmp_path)
