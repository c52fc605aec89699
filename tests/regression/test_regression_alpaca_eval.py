"""The gate on AlpacaEval's own verdicts of two models by one judge."""

import json

import pytest
from shared_files import shared

DATA = shared("data/alpaca_eval")
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs AlpacaEval's files in ../shared/data/alpaca_eval"
)


@pytest.fixture(scope="module")
def folder(warm, tmp_path_factory):
    """Reports of both models, and a baseline of each."""
    folder = tmp_path_factory.mktemp("alpaca")
    for model in ("alpaca-7b", "alpaca-farm-ppo-human"):
        results = DATA / "results" / model
        said = warm.run(
            "eval", "--suite", "alpacafarm", "--outputs", results / "model_outputs.json.gz", "--json",
            "--judge", f"replay:{results / 'alpaca_eval_gpt4/annotations.json.gz'}", cwd=folder,
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        (folder / f"{model}.json").write_text(said.stdout)
        done = warm.run(
            "baseline", "accept", "--report", f"{model}.json", "--reason", "AlpacaEval 1", cwd=folder
        )
        assert done.returncode == 0, done.stderr
    return folder


def regress(warm, folder, baseline, candidate):
    said = warm.run(
        "regress", "--baseline", f"baselines/{baseline}.jsonl", "--report", f"{candidate}.json", "--json",
        cwd=folder,
    )  # fmt: skip
    return said.returncode, json.loads(said.stdout)["suites"][0]


def test_paired_difference_and_error_are_the_known_ones(warm, folder):
    status, row = regress(warm, folder, "alpaca-7b", "alpaca-farm-ppo-human")
    assert (status, row["n"]) == (0, 805)
    assert row["difference"] == pytest.approx(
        41.24223602 - 26.45962733, abs=1e-6
    )  # the leaderboard's win rates
    assert row["standard_error"] == pytest.approx(1.77, abs=0.005)
    assert row["correlation"] == pytest.approx(0.42, abs=0.005)
    reports = [
        json.loads((folder / f"{name}.json").read_text())["suites"][0]
        for name in ("alpaca-7b", "alpaca-farm-ppo-human")
    ]
    unpaired = sum(report["standard_error"] ** 2 for report in reports) ** 0.5
    assert unpaired == pytest.approx(2.31, abs=0.01)
    assert row["ci95"] == pytest.approx([14.78 - 1.96 * 1.77, 14.78 + 1.96 * 1.77], abs=0.1)


def test_the_better_model_passes_and_the_worse_one_is_a_regression(warm, folder):
    assert regress(warm, folder, "alpaca-7b", "alpaca-farm-ppo-human")[1]["verdict"] == "pass"
    status, row = regress(warm, folder, "alpaca-farm-ppo-human", "alpaca-7b")
    assert (status, row["verdict"]) == (1, "regression")
    assert (row["better"], row["worse"]) == (54, 177)
