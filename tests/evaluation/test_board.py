"""The table: one recipe, one judge, means over seeds with honest intervals, paired differences to PPO."""

import csv
import io
import json

import pytest

from rlp_bench import registry
from rlp_bench.errors import DataError, UnknownName
from rlp_bench.evaluation.files import write_lines
from rlp_bench.leaderboard.rows import bring_together
from rlp_bench.leaderboard.table import Table

JUDGE = {"name": "micro_pool", "version": "1", "mode": "all"}


@pytest.fixture
def report(tmp_path):
    def make(method, seed, scores, recipe="micro@1", judge=JUDGE, references="r", **more):
        name = f"artifacts/{method}-{seed}/scores.jsonl"
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, [{"item_id": f"i{k}", "score": s} for k, s in enumerate(scores)])
        mean = 100 * sum(scores) / len(scores)
        suite = {
            "alias": "alpacafarm",
            "suite": "micro_alpacafarm",
            "suite_version": "1",
            "kind": "win_rate",
            "metric": "win_rate.soft",
            "order": "both",
            "judge": judge,
            "win_rate": mean,
            "standard_error": 2.0,
            "ci95": [mean - 4, mean + 4],
            "n_items": len(scores),
            "n_scored": len(scores),
            "data": {"items": "x", "references": references},
            "scores": name,
            "controls": {"longest": {"win_rate": 40.0}},
            "second_judges": {"micro_second": {"win_rate": 33.0}},
            **more,
        }
        return {
            "recipe": recipe,
            "store": str(tmp_path),
            "method": method,
            "seed": seed,
            "suites": [suite],
            "kl": {"mean": 1.0 + seed},
            "length_tokens": 10.0,
            "provenance": {"kind": "rerun", "trained_on_judge": method != "sft"},
        }

    return make


@pytest.fixture
def reports(report):
    ppo = [report("ppo", seed, [0.6, 0.4, 0.5, 0.7, 0.3 + 0.1 * seed]) for seed in (0, 1)]
    sft = [report("sft", seed, [0.3, 0.2, 0.3, 0.4, 0.1 + 0.1 * seed]) for seed in (0, 1)]
    return [*sft, *ppo]


def test_means_over_seeds_and_paired_differences(reports):
    board = bring_together(reports)
    ppo, sft = board.rows
    assert (ppo.method, sft.method) == ("ppo", "sft")  # the best first
    assert ppo.cells["alpacafarm"].estimate.mean == pytest.approx(0.51)
    assert ppo.kl == pytest.approx(1.5)
    d = sft.cells["alpacafarm"].against
    # Item by item -.3 -.2 -.2 -.3 -.2 in both seeds.
    assert d.mean == pytest.approx(-0.24)
    assert d.n == 5
    assert sft.cells["alpacafarm"].p_holm == pytest.approx(d.p)
    assert ppo.cells["alpacafarm"].against is None


def test_text_shows_judge_interval_seeds_n_and_marks(reports):
    text = Table().render(reports, "text")
    assert "recipe micro@1" in text
    assert "judge micro_pool (all) version 1, order both" in text
    assert "ppo*" in text
    assert "51.0 [" in text
    assert "n 5/5" in text
    assert "2 (0, 1)" in text
    assert "-24.0 [" in text
    assert "micro_second" in text
    assert "40.0" in text


def test_markdown_csv_and_json_hold_the_same_numbers(reports):
    markdown = Table().render(reports, "md")
    assert markdown.count("\n| ") == 4
    lines = list(csv.DictReader(io.StringIO(Table().render(reports, "csv"))))
    assert [line["method"] for line in lines] == ["ppo", "sft"]
    assert float(lines[0]["mean"]) == pytest.approx(51.0)
    assert lines[0]["difference"] == ""
    found = json.loads(Table().render(reports, "json"))
    assert found["rows"][1]["difference"] == pytest.approx(-24.0)


def test_two_recipes_never_share_a_table(reports, report):
    with pytest.raises(DataError, match="reports of 2 recipes"):
        Table().render([*reports, report("sft", 0, [1.0], recipe="micro@2")], "text")


@pytest.mark.parametrize(
    "change",
    [
        {"judge": {**JUDGE, "version": "2"}},
        {"judge": {**JUDGE, "world": "other"}},
        {"references": "others"},
        {"metric": "win_rate.binary"},
        {"order": "single"},
        {"suite_version": "2"},
    ],
)
def test_what_was_measured_differently_is_refused(reports, report, change):
    # P12, P32: another judge, reference, metric, order or suite version is another quantity.
    with pytest.raises(DataError, match="was not measured in one way"):
        Table().render([*reports, report("rlp_spg", 0, [1.0, 0.0, 1.0, 1.0, 1.0], **change)], "text")


def test_copied_numbers_are_refused(reports, report):
    copied = report("paper", 0, [1.0, 0.0, 1.0])
    copied["provenance"]["kind"] = "copied"
    with pytest.raises(DataError, match="only reruns"):
        Table().render([*reports, copied], "text")


def test_the_newer_report_of_a_seed_counts(reports, report):
    board = bring_together([*reports, report("ppo", 1, [1.0] * 5)])
    row = next(row for row in board.rows if row.method == "ppo")
    assert row.seeds == (0, 1)
    assert row.cells["alpacafarm"].estimate.mean == pytest.approx(0.75)


def test_without_score_files_the_mean_stays_and_the_pairing_goes(reports):
    for one in reports:
        one["store"] = "/nowhere"
    board = bring_together(reports)
    cell = board.rows[1].cells["alpacafarm"]
    assert cell.estimate.mean == pytest.approx(0.27)
    assert cell.against is None
    # Seeds .26 and .28: SE .01 between; .02 within each, for the items are the same: sqrt(.01^2 + .02^2).
    assert cell.estimate.se == pytest.approx((0.01**2 + 0.02**2) ** 0.5)


def test_a_suite_only_some_were_asked_leaves_a_gap(reports, report):
    other = report("base", 0, [0.1] * 5, alias="llmbar")
    text = Table().render([*reports, other], "text")
    assert "llmbar" in text
    assert "base" in text


def test_the_board_is_found_by_name_and_knows_its_formats(reports):
    board = registry.load("board", "table")()
    with pytest.raises(UnknownName, match='did you mean "csv"'):
        board.render(reports, "cvs")
    with pytest.raises(DataError, match="no report"):
        board.render([], "text")
