"""Paired comparison of methods, and points along PPO at equal KL."""

import json
import xml.etree.ElementTree as xml

import numpy as np
import pytest

from rlp_bench.analysis.compare import compare, means
from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, DataError, UnknownName
from rlp_bench.matrix.trajectory import Point, at_kl, corrected, matched_kl

ITEMS = [f"item-{number}" for number in range(40)]


def _scores(rate, seeds=(0, 1, 2)):
    """Every seed wins the first share of the items, seed s one item more or less."""
    return {s: {item: float(n < rate * len(ITEMS) + s - 1) for n, item in enumerate(ITEMS)} for s in seeds}


def _point(kl, scores, method="ppo", seed=0):
    return Point(method, 0.1, seed, 1, kl, 0.0, None, None, None, 0, 1.0, scores=scores)


def test_difference_is_candidate_minus_baseline_in_points():
    [row] = compare({"ppo": _scores(0.75), "sft": _scores(0.25)}, [("ppo", "sft")])
    assert row["difference"] == pytest.approx(50.0)
    assert row["seeds"] == [0, 1, 2]
    assert 0.01 < row["p_holm"] < 0.05  # three seeds alone are two degrees of freedom
    assert row["verdict"] == "ppo is better"


def test_a_worse_candidate_is_shown_as_worse():
    [row] = compare({"ppo": _scores(0.25), "sft": _scores(0.75)}, [("ppo", "sft")])
    assert row["difference"] == pytest.approx(-50.0)
    assert row["verdict"] == "sft is better"


def test_equal_methods_are_inconclusive_with_what_could_have_been_seen():
    shifted = {s: {i: float((n + 7 * s) % 2) for n, i in enumerate(ITEMS)} for s in range(3)}
    other = {s: {i: float((n + 7 * s + 1) % 2) for n, i in enumerate(ITEMS)} for s in range(3)}
    [row] = compare({"a": shifted, "b": other}, [("a", "b")])
    assert row["difference"] == pytest.approx(0.0)
    assert row["verdict"].startswith("inconclusive: a true difference below")


def test_holm_makes_p_larger_with_more_comparisons():
    scores = {"ppo": _scores(0.6), "sft": _scores(0.5), "base": _scores(0.4)}
    [alone] = compare(scores, [("ppo", "sft")])
    together = compare(scores, [("ppo", "sft"), ("sft", "base"), ("ppo", "base")])
    assert together[0]["p"] == alone["p"]
    assert together[0]["p_holm"] >= alone["p_holm"]


def _drawn(rng, methods, seeds=5, seed_sd=0.03):
    return {
        m: {
            s: dict(zip(ITEMS, 0.5 + rng.normal(0, seed_sd) + rng.normal(0, 0.1, len(ITEMS)), strict=True))
            for s in range(seeds)
        }
        for m in methods
    }


def test_a_table_is_tested_with_variances_shrunk_over_its_methods():
    scores = _drawn(np.random.default_rng(0), ["ppo", "a", "b", "c", "d"])
    rows = compare(scores, [(m, "ppo") for m in "abcd"])
    assert all(4 < row["degrees"] <= 16 for row in rows)
    [alone] = compare({m: scores[m] for m in ("a", "ppo")}, [("a", "ppo")])
    assert alone["degrees"] == 4


def test_what_a_table_could_see_is_what_it_sees_after_holm():
    """Four comparisons: the first step is at .05 / 4, and sees less than one comparison at .05."""
    scores = _drawn(np.random.default_rng(1), ["ppo", "a", "b", "c", "d"])
    rows = compare(scores, [(m, "ppo") for m in "abcd"])
    assert {row["level"] for row in rows} == {0.05 / 4}
    [one] = compare(scores, [("a", "ppo")])
    assert one["p"] == rows[0]["p"]
    assert rows[0]["smallest_detectable_difference"] > 1.15 * one["smallest_detectable_difference"]


def test_a_collapsed_seed_is_named_with_the_difference_without_it():
    scores = _drawn(np.random.default_rng(2), ["ppo", "a", "b", "c", "d"])
    scores["b"][3] = {item: score - 0.45 for item, score in scores["b"][3].items()}
    rows = {row["candidate"]: row for row in compare(scores, [(m, "ppo") for m in "abcd"])}
    assert rows["b"]["collapsed"] == {"b": [3]}
    assert rows["b"]["without_collapsed"]["seeds"] == [0, 1, 2, 4]
    assert rows["b"]["without_collapsed"]["difference"] > rows["b"]["difference"] + 7
    assert rows["b"]["degrees"] == 4  # its own spread, not the table's
    assert rows["a"]["collapsed"] == {}
    assert rows["a"]["without_collapsed"] is None


def test_equal_kl_is_one_table_too():
    rng = np.random.default_rng(3)
    points = [
        _point(kl, {i: 0.2 * kl + rng.normal(0, 0.02) + rng.normal(0, 0.1) for i in ITEMS}, method, seed)
        for method in ("ppo", "a", "b", "c")
        for seed in range(3)
        for kl in (0.0, 1.0)
    ]
    rows = matched_kl(points, 0.5)
    assert all(row["degrees"] > 2 for row in rows)
    assert max(row["p_holm"] for row in rows) >= max(row["p"] for row in rows)
    both = corrected([row for kl in (0.4, 0.5) for row in matched_kl(points, kl)])
    assert min(row["p_holm"] for row in both) == pytest.approx(min(1, 6 * min(row["p"] for row in both)))


def test_only_seeds_that_both_have_are_paired():
    with pytest.raises(DataError, match="share no seed"):
        compare({"a": _scores(0.5, (0,)), "b": _scores(0.5, (1,))}, [("a", "b")])
    with pytest.raises(UnknownName, match='did you mean "ppo"'):
        compare({"ppo": _scores(0.5)}, [("pp", "ppo")])


def test_mean_over_seeds_has_an_interval_around_it():
    found = means({"sft": _scores(0.5)})["sft"]
    assert found["win_rate"] == pytest.approx(50.0)
    assert found["ci95"][0] < 50.0 < found["ci95"][1]


def test_scores_at_a_kl_are_linear_between_the_two_points_around_it():
    points = [_point(4.0, {"x": 1.0}), _point(0.0, {"x": 0.0}), _point(2.0, {"x": 0.8})]
    # from (0, 0) to (2, .8): half way .4; from (2, .8) to (4, 1): a quarter of the way .85
    assert at_kl(points, 1.0) == {"x": pytest.approx(0.4)}
    assert at_kl(points, 2.5) == {"x": pytest.approx(0.85)}


def test_no_scores_are_invented_outside_the_range_of_kl():
    assert at_kl([_point(1.0, {"x": 0.0}), _point(2.0, {"x": 1.0})], 3.0) is None


def test_methods_are_paired_at_one_kl_seed_by_seed():
    """By hand: at KL 1 ppo is half way to 1 on even items; the other goes twice as far in KL, so a quarter."""
    even = {item: float(n % 2 == 0) for n, item in enumerate(ITEMS)}
    nothing = dict.fromkeys(ITEMS, 0.0)
    points = [
        _point(kl, scores, method, seed)
        for method, far in (("ppo", 2.0), ("rlp_spg", 4.0))
        for seed in (0, 1)
        for kl, scores in ((0.0, nothing), (far, even))
    ]
    [row] = matched_kl(points, 1.0)
    assert (row["candidate"], row["baseline"]) == ("rlp_spg", "ppo")
    assert row["difference"] == pytest.approx(100 * (0.25 - 0.5) / 2)
    [beyond] = matched_kl(points, 3.0)
    assert beyond["difference"] is None
    assert beyond["reason"] == "outside the range of ppo seed 0, ppo seed 1"


def test_curves_are_the_same_bytes_twice_and_well_formed():
    board = registry.load("board", "curves")
    row = {"beta": 0.1, "rollouts": 0, "kl": 0.0, "proxy": 0.0, "gold": 0.5, "accuracy": 0.6}
    rows = [row, {**row, "rollouts": 5, "kl": 1.0, "proxy": 1.0}]
    first = board().render(rows, "svg")
    assert first == board().render(rows, "svg")
    assert xml.fromstring(first).tag.endswith("svg")
    assert "gold utility" in first
    with pytest.raises(BenchError, match='format "png"'):
        board().render(rows, "png")
    with pytest.raises(BenchError, match="no point"):
        board().render([], "svg")


def test_curves_command_measures_every_snapshot(cli, tmp_path):
    """The real thing on `nano`: PPO's snapshots, from SFT at KL 0 on."""
    done = cli("curves", "--recipe", "nano", "--json", "--store", "store", "--out", "curve")
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)["points"]
    assert [point["rollouts"] for point in points] == [0, 2, 4]
    assert points[0]["kl"] == 0.0
    assert points[0]["proxy"] == pytest.approx(0.0)
    assert points[1]["kl"] != 0.0
    assert json.loads((tmp_path / "curve.json").read_text()) == points
    assert (tmp_path / "curve.svg").stat().st_size > 1000


def test_a_pair_without_a_colon_is_one_line(cli, tmp_path):
    done = cli("compare", "ppo", "--store", "store")
    assert done.returncode == 2
    assert done.stderr.startswith('error: compare "ppo": expected candidate:baseline')
    assert not (tmp_path / "store").exists()
