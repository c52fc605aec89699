"""Secrets of RLHF II on the command line: shared models, kills, a matrix, and every bad input as one line."""

import json
import os
import signal
from pathlib import Path

import pytest
from patience import wait_until
from test_cli import one_line
from test_matrix import SMALL
from test_resume import contents, sealed

from rlp_bench.matrix.schedule import Matrix, begin
from rlp_bench.recipes.load import load_recipe
from rlp_bench.store.store import Store

TINY = [
    "data.sft=64", "data.preferences=64", "stages.ppo.rollouts=1", "stages.ppo.snapshots=[1]",
    "stages.strength.models=3",
]  # fmt: skip
SET = [part for setting in TINY for part in ("--set", setting)]


def command(method, *settings, store="store"):
    more = [part for setting in settings for part in ("--set", setting)]
    return ("run", "--method", method, "--recipe", "nano", "--no-eval", "--store", store, *SET, *more)


def test_the_models_are_jobs_of_their_own_that_all_methods_share(tmp_path):
    methods = ["ppo", "rm_retrain", "rm_flip", "rm_margin", "rm_average"]
    matrix = Matrix(load_recipe("nano"), methods, [0], Store(tmp_path), False, False)
    begin(matrix)
    rewards = [job for job in matrix.jobs.values() if job.trainer == "reward"]
    assert (
        len(rewards) == 10 + 2
    )  # M models, two of them ppo's and rm_retrain's, and one on the labels of each method
    [strength] = [job for job in matrix.jobs.values() if job.trainer == "strength"]
    assert len({job.key for job in rewards} & strength.needs) == 10
    waiting = [job for job in rewards if job.key in strength.needs]
    assert all(not {other.key for other in waiting} & job.needs for job in waiting)  # none waits for another


def test_kills_between_the_models_and_within_strength_change_nothing(start, cli, tmp_path):
    calm = cli(*command("rm_soft_margin", store="calm"))
    assert calm.returncode == 0, calm.stderr
    assert contents(tmp_path / "calm")
    for target in (5, 7):  # artifacts that are there when the kill comes
        process = start(*command("rm_soft_margin", store="killed"))
        wait_until(lambda: sealed(tmp_path / "killed") >= target)  # noqa: B023
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    last = cli(*command("rm_soft_margin", store="killed"))
    assert last.returncode == 0, last.stderr
    assert "reward: reused" in last.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "calm")


def test_a_matrix_runs_all_kinds_of_its_methods(cli, tmp_path):
    """Labels, contrast, rounds, the average; with evaluation, two jobs at a time."""
    methods = ["rm_flip_no_kl", "rm_average", "metarm", "swav_pairs"]
    settings = [part for setting in [*SMALL, "stages.strength.models=2"] for part in ("--set", setting)]
    done = cli(
        "matrix", "--recipe", "nano", "--methods", ",".join(methods), "--seeds", "1", "--jobs", "2", "--untuned",
        "--store", "store", *settings, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    [file] = (tmp_path / "store").glob("matrix/*/matrix.json")
    runs = json.loads(file.read_text())["runs"]
    assert {run["method"] for run in runs} == set(methods)
    assert all(run["win_rate"] is not None for run in runs)


def strengths(folder: Path, texts) -> str:
    """A file of pairs with strengths, and its name."""
    file = folder / "strengths.jsonl"
    rows = [{"prompt": text, "chosen": "yes", "rejected": "no", "strength": 0.1} for text in texts]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"preference_strengths:{file}"


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("rm_flip", ["stages.strength.models=1"], "models is 1; expected at least 2"),
        ("rm_flip", ["stages.strength.scoring=cross_fit"], "3 models with 5 folds"),
        ("rm_flip", ["stages.strength.scoring=exact"], "in_sample"),
        ("rm_flip", ["stages.relabel.kept_from=1.0"], "keep no pair"),
        ("rm_margin", ["stages.relabel.margin_scale=-1.0"], "greater than or equal to 0"),
        ("metarm", ["stages.reward_meta.k=1"], "k is 1; expected at least 2"),
        ("simcse_pairs", ["stages.reward_contrastive.dropout=0.0"], "greater than 0"),
    ],
)
def test_impossible_settings_are_one_line_and_nothing_is_made(method, settings, said, cli, tmp_path):
    assert said in one_line(cli(*command(method, *settings)))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        (
            "rm_flip",
            ["data.preferences=4", *(f"stages.strength.{x}" for x in ("models=64", "folds=32", "scoring=cross_fit"))],
            "of 32 folds; expected pairs in every fold",
        ),
        ("rm_flip", ["stages.relabel.kept_from=0.5", "stages.relabel.kept_to=0.501"], "expected at least one"),
        ("metarm", ["stages.reward_meta.k=11"], "0 of 64 prompts"),
    ],
)  # fmt: skip
def test_data_that_do_not_suffice_are_one_line_and_no_artifact_is_half_written(
    method, settings, said, cli, tmp_path
):
    result = cli(*command(method, *settings))
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert said in line
    assert list((tmp_path / "store").glob("artifacts/.partial-*")) == []


def test_strengths_of_other_pairs_are_one_line_and_no_artifact_is_half_written(cli, tmp_path):
    source = strengths(tmp_path, ["what?", "why?"])
    result = cli(*command("rm_flip", f"data.strengths_from={source}", "data.strengths=2"))
    assert result.returncode == 2, result.stderr
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "pairs are not among the 2 of the file" in line
    assert list((tmp_path / "store").glob("artifacts/.partial-*")) == []
    assert list((tmp_path / "store").glob("artifacts/strengths-*")) == []
