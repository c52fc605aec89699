"""The one-file report: hostile texts, nothing fetched, nothing left out silently, the same bytes twice."""

import base64
import hashlib
import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from html_parts import BREAK_OUT, METHODS, result

from rlp_bench.analysis.confidence import counted
from rlp_bench.analysis.html_data import one_setting, points_with_errors
from rlp_bench.analysis.training_curves import lines_of, thinned
from rlp_bench.api import registry
from rlp_bench.api.errors import DataError, UnknownName
from rlp_bench.leaderboard.html.svg import Axis, around, number
from rlp_bench.leaderboard.html.text import LIMIT, amount, clean
from rlp_bench.matrix.trajectory import Point


def render(found=None):
    return registry.load("board", "html")().render([found or result()], "html")


class Reader(HTMLParser):
    """What a browser would see: elements with their attributes, and the text of each section."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.section, self.text = [], "", {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"]

    def handle_data(self, data):
        self.text[self.section] = self.text.get(self.section, "") + data


@pytest.fixture(scope="module")
def page():
    return render()


def test_the_same_result_gives_the_same_bytes(page):
    assert render() == page


def test_hostile_texts_stay_text(page):
    seen = Reader(page)
    names = [tag for tag, _ in seen.elements]
    assert names.count("script") == 1
    assert names.count("img") == 0
    assert not [a for _, attributes in seen.elements for a in attributes if a.startswith("on")]
    assert html.escape(BREAK_OUT, quote=False).split("&lt;img")[0] in page
    assert BREAK_OUT in seen.text["answers"]
    assert "{{ 7 * 7 }}" in seen.text["answers"]  # no template in a text is filled in
    assert "nul ␀ and escape ␛[31m and bell ␇" in seen.text["answers"]
    assert "half a pair \\ud800 and its other half \\udc00" in seen.text["answers"]
    assert "turned \\u202egnitirw\\u202c" in seen.text["answers"]
    assert not set(page) & {chr(c) for c in range(32) if c not in (9, 10)}
    page.encode("utf-8")


def test_a_text_of_a_megabyte_is_cut_with_a_note(page):
    assert f"(cut: {LIMIT:,} of 1,048,576 characters shown)" in page
    assert len(page.encode()) < 300_000


def test_clean_keeps_what_people_write():
    text = "naïve 例え\t\n👩‍🚀 <b>"
    assert clean(text) == text
    assert clean("a" * LIMIT) == "a" * LIMIT
    assert clean(None) == "None"


def test_nothing_is_fetched_and_only_our_own_script_and_style_count(page):
    seen = Reader(page)
    links = [v for _, attributes in seen.elements for k, v in attributes.items() if k in ("src", "href")]
    assert links
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert "@import" not in page
    assert "url(" not in page
    policy = next(a["content"] for tag, a in seen.elements if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        [inside] = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not [a for _, attributes in seen.elements for a in attributes if a == "style"]


def test_every_drawing_is_well_formed_and_says_what_it_shows(page):
    drawings = [d for d in re.findall(r"<svg.*?</svg>", page, re.DOTALL) if 'role="img"' in d]
    assert len(drawings) > 12
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.find("title").text
        assert root.find("desc").text
        assert "nan" not in drawing


def test_no_mean_stands_without_interval_items_and_seeds(page):
    seen = Reader(page).text
    for name, rate in METHODS.items():
        assert f"{name}: {rate:.1f} ({rate - 4:.1f} to {rate + 4:.1f}), n 80, 2 seeds" in seen["win-rates"]
    assert "≥ 3.2T" in seen["throughput"]
    assert "1 resumed" in seen["throughput"]
    assert "78 of 80" in seen["leaderboard"]
    assert "98 %; 2 unparsed" in seen["leaderboard"]
    assert "prompt hashabc123" in re.sub(r"\s+", " ", seen["about"]).replace("hash ", "hash")
    rows = re.findall(r'<th scope="row">(.*?)</th>', page.split('id="leaderboard"')[1].split("</section>")[0])
    assert [row.strip() for row in rows] == ["constant", "rlp_spg†", "ppo*", "base"]  # controls first


def test_what_is_missing_is_said():
    found = result()
    found |= {"points": {}, "confidence": [], "throughput": {}, "curves": {"groups": []}, "reward_models": []}
    found |= {"comparisons": [], "subsets": {}, "matched_kl": [], "claims": [], "missing": ["answers of x"]}
    found["samples"] = {"rows": []}
    seen = Reader(render(found)).text
    for section, words in {
        "kl": "No run of this matrix has snapshots of PPO.",
        "preferences": "No stage of this matrix stores its confidence.",
        "throughput": "No stage of this matrix was metered",
        "curves": "No stage of this matrix has a log.jsonl.",
        "reward-models": "No run of this matrix has a reward model.",
        "differences": "The baseline of the comparisons (ppo) was not run.",
        "subsets": "has no subsets",
        "claims": "There are no claims.",
        "answers": "This report contains no answers.",
        "about": "Missing: answers of x.",
        "leaderboard": "No length-controlled win rates",
    }.items():
        assert words in seen[section], section
    assert "not measured" in seen["leaderboard"]  # base and constant on vicuna
    assert "No confidence is stored by: reward_pairs of ppo." in Reader(render()).text["preferences"]


def test_one_seed_has_no_interval_over_seeds_and_says_so():
    seen = Reader(render(result(seeds=1))).text
    assert "One seed: intervals cover variation over items" in seen["about"]
    assert "one seed, no interval" in seen["reward-models"]


def test_length_control_is_shown_where_a_result_has_it():
    found = result() | {"length_controlled": {"ppo": [48.0, 50.0], "base": [9.0]}}
    found["length_controlled_ends"] = {"base": [[7.5, 10.5]]}
    found["length_controlled_kind"] = "approximate, off by 1.2 points for an unseen model"
    seen = Reader(render(found)).text["leaderboard"]
    assert "7.5 to 10.5" in seen
    assert "LC: length-controlled win rate (approximate, off by 1.2 points for an unseen model)" in seen
    assert "LC, approximate" in seen
    assert "48.0 to 50.0" in seen


def test_rows_that_cannot_be_told_apart_share_a_rank(page):
    rows = page.split('id="leaderboard"')[1].split("<tbody>")[1].split("</tbody>")[0]
    found = re.findall(r'<th scope="row">(\S+?)\s*</th><td>(\d)<small>(.*?)</small>', rows)
    ranks = [
        ("constant", "3", "3 to 4"),
        ("rlp_spg†", "1", "1 to 2"),
        ("ppo*", "1", "1 to 2"),
        ("base", "3", "3 to 4"),
    ]
    assert found == ranks
    assert "No ranks" in Reader(render(result() | {"scores": {}})).text["leaderboard"]


def test_a_wrong_format_and_a_wrong_report_are_one_line():
    board = registry.load("board", "html")()
    with pytest.raises(UnknownName, match='no format "pdf"'):
        board.render([result()], "pdf")
    for reports in ([], [{"suites": []}]):
        with pytest.raises(DataError, match="expected one result of a matrix"):
            board.render(reports)


def test_axes_have_round_ticks_inside():
    # 0 to 60 with five ticks: steps of 15 are rounded up to 20.
    assert Axis(0, 60, 0, 100).ticks() == [0, 20, 40, 60]
    assert Axis(-2.1, 2.1, 0, 100).ticks() == [-2, 0, 2]
    assert Axis(0, 10, 100, 0)(2.5) == 75
    assert Axis(0, 10, 0, 100)(99) == 100  # never outside the drawing
    assert around([3.0]) == (2.5, 3.5)
    assert [number(v) for v in (1.0, -0.04, 2.25, 10.0)] == ["1", "0", "2.2", "10"]
    assert [amount(v) for v in (3.2e10, 1234.0, 12.3, 0.0041, 0.0)] == ["32.0G", "1.2k", "12", "0.0041", "0"]


def test_curves_are_thinned_by_means_of_neighbours():
    # 250 rows in at most 100 points: means of three; the first is of 0, 1, 2, the last of 249 alone.
    line = thinned([[float(n), 2.0 * n] for n in range(250)])
    assert len(line) == 84
    assert line[0] == [1.0, 2.0]
    assert line[-1] == [249.0, 498.0]
    assert thinned([[0.0, 1.0]]) == [[0.0, 1.0]]
    rows = [{"step": 0, "loss": 1.0}, {"step": 1, "loss": float("nan")}, {"step": 2, "loss": 3.0, "other": 1}]
    assert lines_of(rows) == {"loss": [[0.0, 1.0], [2.0, 3.0]]}


def test_a_threshold_parts_two_bins():
    assert counted([0.5, 0.49, 0.3, 1.0, 0.0]) == [1, 0, 0, 1, 1, 1, 0, 0, 0, 1]


def test_points_are_means_over_seeds_with_an_interval():
    common = {"method": "ppo", "beta": 0.1, "rollouts": 5, "gold": None, "gold_se": None, "accuracy": None}
    common |= {"accuracy_n": 0, "length": 10.0}
    [row] = points_with_errors([Point(seed=s, kl=1.0 + s, proxy=float(s), **common) for s in (0, 1, 2)])
    # Proxy 0, 1, 2: mean 1, se 1 / sqrt(3) = .577, t(2) = 4.303, half 2.484.
    assert row["kl"] == 2.0
    assert row["proxy"]["mean"] == 1.0
    assert row["proxy"]["ci95"] == pytest.approx([1 - 2.484, 1 + 2.484], abs=1e-3)
    assert row["gold"] is None
    [alone] = points_with_errors([Point(seed=0, kl=1.0, proxy=0.0, **common)])
    assert alone["proxy"]["ci95"] is None


def test_suites_measured_in_two_ways_do_not_stand_in_one_report():
    def report(order):
        suite = {"alias": "a", "suite": "a", "suite_version": "1", "metric": "win_rate.soft", "order": order}
        return {"suites": [{**suite, "judge": {"name": "j"}, "data": {"items": "x", "references": "y"}}]}

    assert one_setting("a", {"ppo": {0: report("both"), 1: report("both")}})["order"] == "both"
    with pytest.raises(DataError, match='suite "a" was measured in 2 ways'):
        one_setting("a", {"ppo": {0: report("both")}, "sft": {0: report("given")}})


@pytest.fixture(scope="module")
def small(small_matrix, warm, tmp_path_factory):
    """A store with a small matrix: three methods, two seeds, 80 items; all but `constant` was trained before."""
    store = tmp_path_factory.mktemp("html") / "store"
    shutil.copytree(small_matrix[0], store)
    what = (
        "--methods",
        "ppo,rlp_spg,constant",
        "--seeds",
        "0..1",
        "--untuned",
        "--match-steps",
        "--jobs",
        "1",
    )
    made = warm.run("matrix", "--recipe", "nano", *what, *small_matrix[1], "--store", store)
    assert made.returncode == 0, made.stderr
    return store


def test_the_report_of_a_small_matrix_through_the_command_line(small, cli, tmp_path):
    done = cli(
        "report", "html", "--store", small, "--out", "deep/report.html", "--instructions", "7", "--json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    written = tmp_path / "deep" / "report.html"
    assert told["report"] == "deep/report.html"
    assert told["bytes"] == written.stat().st_size < 1_000_000
    assert (told["methods"], told["instructions"], told["missing"]) == (3, 7, [])
    seen = Reader(written.read_text(encoding="utf-8"))
    assert "7 of 80 instructions of alpacafarm" in seen.text["answers"]
    assert [a["data-method"] for _, a in seen.elements if "data-method" in a].count("rlp_spg") == 7
    assert {"curves", "kl", "preferences", "throughput", "claims"} <= seen.text.keys()
    for words in ("PPO: mean reward of rollouts", "reward: accuracy", "sft: loss"):
        assert words in seen.text["curves"]
    assert "share of the largest cluster" in seen.text["preferences"]
    again = cli("report", "html", "--store", small, "--out", "again.html", "--instructions", "7")
    assert again.returncode == 0
    assert "report: again.html" in again.stdout
    assert (tmp_path / "again.html").read_bytes() == written.read_bytes()
    assert str(small) not in written.read_text(encoding="utf-8")


def test_a_wrong_request_is_one_line_and_writes_nothing(small, cli, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for arguments, line in (
        (("--store", "empty"), "has no matrix"),
        (("--store", small, "--matrix", "nano@0"), 'matrix "nano@0" does not exist'),
        (("--store", small, "--out", "folder"), 'report html: --out "folder" is a folder'),
        (("--store", small, "--out", "file/x.html"), "cannot be written"),
    ):
        done = cli("report", "html", *arguments)
        assert done.returncode == 2, arguments
        assert line in done.stderr
        assert done.stderr.count("error:") == 1
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["file", "folder"]
