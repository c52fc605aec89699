"""The table: one recipe, one judge, means over seeds with honest intervals, paired differences to PPO."""

import csv
import io
import json

import numpy as np
import pytest

from rlp_bench.api import registry
from rlp_bench.api.errors import DataError, UnknownName
from rlp_bench.api.files import write_lines
from rlp_bench.leaderboard.table import columns
from rlp_bench.leaderboard.table.collect import bring_together
from rlp_bench.leaderboard.table.table import FORMATS, Table

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
    assert "judge micro_pool (all) version 1 (manifest " in text
    assert "), order both" in text
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


def test_controls_stand_first_and_rows_have_ranks(reports, report):
    # Eight items on which ppo is better by far, so that two rows are told apart.
    clear = [report("ppo", 0, [0.9] * 8 + [0.8]), report("sft", 0, [0.1] * 8 + [0.2])]
    control = {**report("longest", 0, [0.5, 0.5, 0.4, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5]), "control": True}
    board = bring_together([*clear, control])
    assert [row.method for row in board.rows] == ["longest", "ppo", "sft"]
    assert [(row.rank.best, row.rank.worst) for row in board.rows] == [(2, 2), (1, 1), (3, 3)]
    text = Table().render([*clear, control])
    assert "controls first: longest" in text
    shared = bring_together(reports)
    assert {(row.rank.best, row.rank.worst) for row in shared.rows} <= {(1, 2), (1, 1), (2, 2)}


def test_published_rows_stand_beside_and_enter_nothing(reports):
    plain, beside = bring_together(reports), bring_together(reports, published=True)
    assert beside.rows == plain.rows
    assert {row.method: row.values["alpacafarm"] for row in beside.copied} == {"ppo": 46.8, "sft": 36.7}
    text = Table().render(reports, "md", published=True)
    assert "| ppo (copied) |  | 1 run | 46.8 |" in text
    assert "(copied): printed in Lang et al. 2024" in text
    records = json.loads(Table().render(reports, "json", published=True))["rows"]
    copied = [row for row in records if row["provenance"] == "copied"]
    assert len(copied) == 2
    assert all(row["p"] is None and row["rank"] is None and row["low"] is None for row in copied)
    assert "copied" not in Table().render(reports, "csv")


def test_length_control_has_its_interval_and_its_error_never_shrinks_below_one_seeds_own(report):
    controlled = {"win_rate": 50.0, "standard_error": 2.0, "ci95": [46.0, 54.0], "n": 5}
    rates = [48.0, 52.0]
    found = [
        report("ppo", seed, [0.5, 0.4, 0.6, 0.5, 0.5], length_controlled={**controlled, "win_rate": rate})
        for seed, rate in enumerate(rates)
    ]
    [row] = bring_together(found).rows
    lc = row.cells["alpacafarm"].length_controlled
    # Between: sd 2.828 / sqrt 2 = 2; within 2: hypot 2.828.
    assert (lc.mean, lc.se) == (pytest.approx(0.5), pytest.approx(0.02828, abs=1e-4))
    assert "50.0 [14.1, 85.9]" in Table().render(found)  # two seeds alone: t with one degree, 12.71


def test_length_control_over_seeds_is_shrunk_over_the_methods(report):
    """Three seeds that agree by luck are no certainty where other methods' seeds differ by points."""
    rates = {"a": [50, 50, 50.1], "b": [44, 48, 52], "c": [55, 52, 50], "d": [41, 47, 46], "e": [60, 55, 57]}
    found = [
        report(
            m, s, [0.5, 0.4], length_controlled={"win_rate": r, "standard_error": 0.1, "ci95": [0, 1], "n": 2}
        )
        for m, seeds in rates.items()
        for s, r in enumerate(seeds)
    ]
    controlled = {row.method: row.cells["alpacafarm"].length_controlled for row in bring_together(found).rows}
    assert controlled["a"].se > 0.005  # its own spread alone gives .0010
    assert controlled["a"].degrees > 2


def test_every_difference_of_the_table_is_moderated(report):
    rng = np.random.default_rng(0)
    found = [
        report(m, s, list(np.clip(rng.normal(0.5 + rng.normal(0, 0.05), 0.1, 6), 0, 1)))
        for m in ("ppo", "a", "b", "c", "d")
        for s in range(3)
    ]
    rows = bring_together(found).rows
    against = [row.cells["alpacafarm"].against for row in rows if row.method != "ppo"]
    assert len(against) == 4
    assert all(d.degrees > 2 for d in against)
    none = [report("ppo", 0, [0.5, 0.4], length_controlled={"win_rate": None, "reason": "2 items"})]
    assert bring_together(none).rows[0].cells["alpacafarm"].length_controlled is None


APPROXIMATE = {"kind": "approximate", "difficulty": "approximate: recovered", "error_unseen": 1.2}
EXACT = {"kind": "exact", "difficulty": "instruction_difficulty.csv", "error_unseen": None}
NO_DIFFICULTY = {"kind": "no difficulty", "difficulty": "none", "error_unseen": None}


def controlled(report, *kinds):
    """Reports of one method a kind."""
    lc = {"win_rate": 50.0, "standard_error": 2.0, "ci95": [46.0, 54.0], "n": 5}
    scores = [0.5, 0.4, 0.6, 0.5, 0.5]
    return [report(f"m{i}", 0, scores, length_controlled={**lc, **kind}) for i, kind in enumerate(kinds)]


def test_a_length_controlled_column_says_what_it_is(report):
    text = Table().render(controlled(report, APPROXIMATE, APPROXIMATE))
    assert "length-controlled (approximate)" in text
    assert "approximate, with an error of 1.2 points for unseen models" in text
    assert "length-controlled (no difficulty)" in Table().render(controlled(report, NO_DIFFICULTY))
    exact = Table().render(controlled(report, EXACT))
    assert "length-controlled (exact)" in exact
    assert "unseen" not in exact
    [row] = json.loads(Table().render(controlled(report, APPROXIMATE), "json"))["rows"]
    assert (row["length_controlled_kind"], row["length_controlled_error_unseen"]) == ("approximate", 1.2)


@pytest.mark.parametrize("other", [EXACT, NO_DIFFICULTY])
def test_length_controlled_rates_of_two_kinds_make_no_column(report, other):
    with pytest.raises(DataError, match=r"several kinds .*approximate.* cannot be in one column"):
        bring_together(controlled(report, APPROXIMATE, other))
    # A rate that there is not is of no kind; one of an older report is what its difficulties say.
    missing = {**other, "win_rate": None, "reason": "2 items"}
    older = {"difficulty": "approximate: recovered"}
    bring_together(controlled(report, APPROXIMATE, missing))
    assert bring_together(controlled(report, older)).length_control["alpacafarm"][0] == "approximate"


def test_latex_and_html_escape_every_text(report):
    hostile = "<script>alert(1)</script>_%&"
    found = [report(hostile, 0, [0.5, 0.4]), report("ppo", 0, [0.5, 0.6])]
    page = Table().render(found, "html")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;_%&amp;" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    tex = Table().render(found, "latex")
    assert r"\textless{}script\textgreater{}alert(1)" in tex
    assert r"\_\%\&" in tex
    assert tex.count(r"\\") == 3  # a header and two rows
    assert tex.count(" & ") % 3 == 0


def test_the_judges_prompt_and_manifest_stand_in_the_header(reports, report):
    judge = {"name": "chat", "version": "2", "prompt_sha256": "ab12cd34ef"}
    text = Table().render([report("ppo", 0, [0.5, 0.4], judge=judge)])
    assert "judge chat version 2 (prompt ab12cd34, manifest " in text


def test_one_judge_has_one_hash_wherever_it_stands(reports):
    """In the table's header, and in what a baseline and the HTML report keep."""
    from rlp_bench.store.store import fingerprint

    [suite] = {json.dumps(s["judge"], sort_keys=True) for r in reports for s in r["suites"] if s.get("judge")}
    text = Table().render(reports, "text")
    assert f"manifest {fingerprint(json.loads(suite))[:16]}" in text


def test_a_new_column_is_one_entry_and_in_every_format(reports, monkeypatch):
    new = columns.Column(
        "worth",
        lambda board, row, key: f"{row.kl:.1f} apples",
        lambda board, row, key: "pears",
        lambda board: ["worth: in apples"],
        lambda board, row, suite: {"worth": f"{row.kl:.1f} apples"},
        lambda board, row, suite: {"worth": "pears"},
    )
    before = {format: Table().render(reports, format, published=True) for format in FORMATS}
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS[:3], new, *columns.COLUMNS[3:]))
    for format, old in before.items():
        text = Table().render(reports, format, published=True)
        assert "1.5 apples" in text, format
        assert "pears" in text, format
        assert ("worth: in apples" in text) == (format not in ("csv", "json"))
        assert "apples" not in old


def test_copied_rows_have_a_cell_in_every_column_and_the_same_names(reports):
    found = json.loads(Table().render(reports, "json", published=True))["rows"]
    assert len({tuple(row) for row in found}) == 1
    board = bring_together(reports, published=True)
    assert board.copied
    assert {len(line) for line in columns.lines(board)} == {len(columns.header(board))}
