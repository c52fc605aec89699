"""Sixteen samples of Tulu-2-DPO-13B an instruction, judged against gpt-3.5-turbo-0613: published win rates again."""

import csv
import gzip
import json
from pathlib import Path

import pytest
from shared_files import shared

from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.store.store import Store

DATA = shared("data/best_of_n")
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the judged samples in ../shared/data/best_of_n"
)
PREFERENCES = "gpt4_turbo_pref_vs_ref"


@pytest.fixture(scope="module")
def rows():
    with gzip.open(DATA / "alpaca_eval_tulu2dpo13b_bo16.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def score(rows, choose, folder: Path):
    """The report on one chosen sample an instruction, from files in AlpacaEval's format."""
    verdicts, outputs = [], []
    for row in rows:
        n = choose(row)
        text = row["completions"][n]
        outputs.append({"instruction": row["instruction"], "output": text, "generator": "tulu"})
        verdicts.append(
            {
                "instruction": row["instruction"],
                "output_1": row["reference_gpt35_0613"],
                "generator_1": "gpt-3.5-turbo-0613",
                "output_2": text,
                "generator_2": "tulu",
                "preference": row[PREFERENCES][n],
                "dataset": row["dataset"],
            }
        )
    (folder / "o.json").write_text(json.dumps(outputs))
    (folder / "v.json").write_text(json.dumps(verdicts))
    return eval_command(
        suites=["alpacafarm"],
        outputs=folder / "o.json",
        judge=f"replay:{folder / 'v.json'}",
        allow_missing=True,
        store=Store(folder / "store"),
    )["suites"][0]


def test_the_preferences_are_all_there(rows):
    assert len(rows) == 805
    assert sum(p is not None for row in rows for p in row[PREFERENCES]) == 9169


@pytest.mark.parametrize("n", [0, 3, 10])
def test_every_samples_published_row(rows, tmp_path, n):
    with (DATA / "merged_leaderboard.csv").open() as lines:
        published = {row["model_name"]: row for row in csv.DictReader(lines)}[f"allenai/tulu-2-dpo-13b.{n}"]
    report = score(rows, lambda row: n, tmp_path)
    for key in ("win_rate", "standard_error", "discrete_win_rate"):
        assert report[key] == pytest.approx(float(published[key]), abs=1e-6), key
    assert report["n_scored"] == int(published["n_total"])
    assert report["ties"] == int(published["n_draws"])
    assert int(report["mean_length_chars"]) == int(published["avg_length"])


@pytest.mark.parametrize("reward", ["openbmb/UltraRM-13b", "PKU-Alignment/beaver-7b-v1.0-cost"])
def test_best_of_16_by_a_reward_model_lies_within_the_bounds_of_what_is_missing(rows, tmp_path, reward):
    published = json.loads((DATA / "bon_eval_results.json").read_text())[reward]
    report = score(rows, lambda row: row["picked_by"][reward], tmp_path)
    low, high = report["bounds"]
    assert low <= published["win_rate"] <= high
    assert report["coverage"]["unparsed"] > 0  # samples 11 to 15 are judged in part
    assert int(report["mean_length_chars"]) == published["avg_length"]
