"""`report throughput`: sums against meter.json by hand, shared stages once, what is unknown says so."""

import csv
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from warm import Warm

from rlp_bench.analysis.measured_flops import measured_peak, parameters_of, stage_flops
from rlp_bench.api.errors import DataError
from rlp_bench.api.seals import write_sealed

Cli = Callable[..., subprocess.CompletedProcess[str]]
SMALL = [
    "data.sft=64", "data.preferences=64", "stages.ppo.rollouts=2", "stages.ppo.snapshots=[1,2]",
    "evaluation.suites=['vicuna']", "evaluation.dev_pairs=8", "tuning.prompts=8", "evaluation.trajectory=[1]",
]  # fmt: skip


@pytest.fixture(scope="module")
def store(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix of base, sft and ppo at two seeds: every PPO run shares its SFT stage with the SFT run."""
    root = tmp_path_factory.mktemp("throughput") / "store"
    sets = [part for one in SMALL for part in ("--set", one)]
    what = ("--methods", "base,sft,ppo", "--seeds", "0..1", "--untuned", "--jobs", "1")
    warm.run("matrix", "--recipe", "nano", *what, *sets, "--store", root).check_returncode()
    return root


def report(cli: Cli, store: Path, *more: str) -> dict[str, Any]:
    result = cli("report", "throughput", "--store", store, "--json", *more)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def meters(store: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(store.glob("artifacts/*/meter.json"))]


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    [line] = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    return line


def test_a_stage_that_methods_share_counts_once_in_the_total(cli: Cli, store: Path) -> None:
    found, known = report(cli, store), meters(store)
    assert sorted(m["trainer"] for m in known) == sorted(["sft", "preferences", "reward", "ppo"] * 2)
    total = found["total"]
    assert total["artifacts"] == 8
    assert total["wall_seconds"] == pytest.approx(sum(m["wall_seconds"] for m in known))
    assert total["cpu_seconds"] == pytest.approx(sum(m["cpu_seconds"] for m in known))
    assert total["peak_bytes"] == max(m["peak_rss_bytes"] for m in known)
    trained = [m for m in known if "tokens_trained" in m["counters"]]
    amount, wall = (
        sum(v)
        for v in zip(*((m["counters"]["tokens_trained"], m["wall_seconds"]) for m in trained), strict=True)
    )
    assert total["tokens_trained"] == amount
    assert total["tokens_trained_per_second"] == pytest.approx(amount / wall)
    shared = {row["stage"]: row["methods"] for row in found["stages"] if row["shared"]}
    assert shared == {"sft": ["ppo", "sft"]}
    sft = sum(m["wall_seconds"] for m in known if m["trainer"] == "sft")
    ways = {row["method"]: row for row in found["methods"]}
    assert ways["ppo"]["wall_seconds"] == pytest.approx(total["wall_seconds"] / 2)
    assert ways["ppo"]["shared_wall_seconds"] == ways["sft"]["wall_seconds"] == pytest.approx(sft / 2)
    assert ways["base"]["wall_seconds"] is None
    assert found["unshared_wall_seconds"] == pytest.approx(total["wall_seconds"] + sft)


def test_flops_are_six_and_two_a_parameter_and_token(cli: Cli, store: Path) -> None:
    rows = {row["stage"]: row for row in report(cli, store)["stages"]}
    # By hand: 321 x 64 embedding (tied) + 4 layers of (4 x 64^2 + 3 x 64 x 176 + 2 x 64) + 64 = 221,440
    parameters = 321 * 64 + 4 * (4 * 64**2 + 3 * 64 * 176 + 2 * 64) + 64
    assert rows["sft"]["parameters"] == rows["preferences"]["parameters"] == parameters
    assert rows["reward"]["parameters"] == parameters + 64  # the head
    assert rows["sft"]["flops"] == 6 * parameters * rows["sft"]["tokens_trained"]
    assert rows["preferences"]["flops"] == 2 * parameters * rows["preferences"]["tokens_sampled"]
    assert rows["ppo"]["flops_source"] == "counted by the stage"
    assert rows["ppo"]["flops"] > rows["ppo"]["flops_formula"]
    assert (rows["sft"]["steps"], rows["reward"]["steps"], rows["ppo"]["steps"]) == (2, 2, 2)
    assert rows["ppo"]["samples"] == 64  # two rollouts of 32


def test_without_price_or_peak_both_are_unknown_and_never_zero(cli: Cli, store: Path) -> None:
    found = report(cli, store)
    for row in [*found["stages"], *found["methods"], found["total"]]:
        assert row["cost"] is None
        assert row["utilisation"] is None
    text = cli("report", "throughput", "--store", store).stdout
    assert "Price of a device: unknown" in text
    assert "Peak: unknown" in text
    rows = list(
        csv.DictReader(io.StringIO(cli("report", "throughput", "--store", store, "--format", "csv").stdout))
    )
    assert {row["level"] for row in rows} == {"stage", "method", "total"}
    assert {row["cost"] for row in rows if row["artifacts"] != "0"} == {"unknown"}


def test_price_and_peak_as_given(cli: Cli, store: Path) -> None:
    total = report(cli, store, "--price", "3.6", "--peak-flops", "1e12")["total"]
    assert total["cost"] == pytest.approx(
        total["wall_seconds"] * 0.001
    )  # $3.6 an hour is a tenth of a cent a second
    assert total["utilisation"] == pytest.approx(total["flops_per_second"] / 1e12)


def test_a_measured_peak_is_above_what_stages_reach(cli: Cli, store: Path) -> None:
    found = report(cli, store, "--measure-peak")
    assert "matrix product" in found["peak_source"]
    assert 0 < found["total"]["utilisation"] < 1
    assert measured_peak("cpu", 1) > 1e9


def test_a_resumed_or_unmetered_stage_makes_sums_a_lower_bound(cli: Cli, store: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    [first, second] = sorted(copy.glob("artifacts/policy-*/meter.json"))[:2]
    meter = json.loads(first.read_text())
    meter.pop("seal")
    write_sealed(first, {**meter, "attempts": 2})
    second.unlink()
    found = report(cli, copy)
    assert (found["total"]["resumed"], found["total"]["unmetered"]) == (1, 1)
    assert ">= " in cli("report", "throughput", "--store", copy).stdout
    one = next(row for row in found["stages"] if row["resumed"])
    assert one["artifacts"] == 2


def test_markdown_has_a_table_of_methods_stages_and_total(cli: Cli, store: Path) -> None:
    text = cli("report", "throughput", "--store", store, "--format", "md").stdout
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert text.count("\n### ") + text.startswith("### ") == 3
    assert {line.count("|") for line in lines if "all, shared stages once" in line} != set()
    assert any(line.startswith("| sft | shared by 2 | 2 |") for line in lines)
    assert any(line.startswith("| base | 2 | - |") for line in lines)


def test_chosen_runs_instead_of_a_matrix(cli: Cli, store: Path) -> None:
    names = sorted(path.name for path in store.glob("runs/nano/sft-*"))
    found = report(cli, store, "--runs", ",".join(names))
    assert (found["runs"], found["total"]["artifacts"]) == (2, 2)
    assert [row["shared"] for row in found["stages"]] == [False]
    [one] = report(cli, store, "--runs", names[0])["methods"]
    assert (one["method"], one["runs"]) == ("sft", 1)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--format", "cvs"], 'did you mean "csv"?'),
        (["--price", "0"], "--price 0: expected a number above 0"),
        (["--price", "nan"], "--price nan: expected a number above 0"),
        (["--peak-flops", "-1"], "--peak-flops -1: expected"),
        (["--peak-flops", "1e9", "--measure-peak"], "give one of them"),
        (["--matrix", "nano@1", "--runs", "x"], "expected one of them"),
        (["--matrix", "nano@1"], 'matrix "nano@1" does not exist'),
        (["--runs", "nobody"], 'run "nobody" does not exist'),
    ],
)
def test_bad_input_is_one_line(cli: Cli, store: Path, more: list[str], expected: str) -> None:
    assert expected in one_line(cli("report", "throughput", "--store", store, *more))


def test_an_empty_store_and_runs_of_two_recipes_are_one_line(cli: Cli, store: Path, tmp_path: Path) -> None:
    assert "has no matrix" in one_line(cli("report", "throughput", "--store", tmp_path / "none"))
    other = ("--recipe", "nano", "--set", "data.sft=32", "--set", "stages.sft.batch=16")
    assert cli("run", "--method", "sft", *other, "--no-eval", "--store", store).returncode == 0
    names = [path.name for path in store.glob("runs/nano/sft-*")]
    assert len(names) == 3
    assert "2 recipes in the runs" in one_line(
        cli("report", "throughput", "--store", store, *(word for name in names for word in ("--runs", name)))
    )


def test_flops_of_counters_by_hand(tmp_path: Path) -> None:
    assert stage_flops({"tokens_trained": 10.0}, 100).amount == 6000
    assert stage_flops({"tokens_sampled": 10.0, "tokens_scored": 5.0}, 100).amount == 3000
    untold = stage_flops({"tokens_sampled": 10.0, "reward_calls": 3.0}, 100)
    assert (untold.amount, untold.missing) == (2000, ("reward_calls",))
    assert stage_flops({"tokens_scored": 10.0, "reward_calls": 3.0}, 100).missing == ()
    assert stage_flops({}, 100).amount is None
    assert stage_flops({"tokens_trained": 10.0}, None).amount is None
    counted = stage_flops({"flops": 7.0, "tokens_trained": 1.0}, 1)
    assert (counted.amount, counted.formula) == (7.0, 6)
    assert parameters_of(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(os.urandom(32))
    with pytest.raises(DataError, match="not a whole safetensors file"):
        parameters_of(tmp_path)
