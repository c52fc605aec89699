"""The rule, suite by suite and all together, through the command line on known scores."""

import json

import numpy as np
import pytest
from regression_parts import JUDGE, lines, suite

from rlp_bench.api.seals import with_seal
from rlp_bench.regression.rule import decide

RNG = np.random.default_rng(0)
OLD = [float(x) for x in RNG.integers(0, 2, 400)]
WORSE = [0.0 if i % 5 == 0 else s for i, s in enumerate(OLD)]
"""A fifth of the items lost, if they were won: 10 points, never a win."""
NOISY = [float(x) for x in RNG.integers(0, 2, 400)]


@pytest.mark.parametrize(
    ("p", "bound", "verdict"),
    [
        (0.01, -9.0, "regression"),
        (0.05, -3.0, "regression"),  # at the very edge of both
        (0.01, -1.0, "pass"),  # certain, and smaller than what may be lost
        (0.60, -2.9, "pass"),
        (0.06, -6.0, "inconclusive"),
    ],
)
def test_rule_of_one_suite(p, bound, verdict):
    assert decide(p, bound, 3.0) == verdict


def test_the_same_scores_pass(bench):
    bench.accept(suite(OLD))
    status, found, err = bench.regress("--report", bench.report("same", suite(OLD)))
    assert (status, found["verdict"], err) == (0, "pass", "")
    [row] = found["suites"]
    assert (row["n"], row["difference"], row["better"], row["worse"]) == (400, 0.0, 0, 0)
    assert row["test"] == "mid-p McNemar"


def test_a_loss_is_a_regression_with_all_its_numbers(bench):
    bench.accept(suite(OLD))
    status, found, _ = bench.regress("--report", bench.report("worse", suite(WORSE)))
    assert (status, found["verdict"]) == (1, "regression")
    [row] = found["suites"]
    lost = sum(a != b for a, b in zip(OLD, WORSE, strict=True))
    assert (row["better"], row["worse"]) == (0, lost)
    assert row["difference"] == pytest.approx(-100 * lost / 400)
    assert row["ci95"][0] < row["difference"] < row["ci95"][1] < 0
    assert row["p_holm"] == row["p"] < 1e-6
    assert row["smallest_detectable_difference"] > 0
    assert row["position_gap"] == {"baseline": 1.5, "candidate": 1.5}
    assert row["missing"] == row["unparsed"] == {"baseline": 0, "candidate": 0}
    assert row["ties"] == {"baseline": 0.0, "candidate": 0.0}


def test_a_loss_within_a_margin_that_was_given_passes(bench):
    bench.accept(suite(OLD))
    report = bench.report("worse", suite(WORSE))
    status, found, _ = bench.regress("--report", report, "--margin", "alpacafarm=20")
    assert (status, found["verdict"]) == (0, "pass")
    assert "worse, by less than the margin" in found["suites"][0]["reason"]


def test_inconclusive_passes_and_fails_with_strict(bench):
    bench.accept(suite(OLD))
    report = bench.report("noisy", suite(NOISY))
    status, found, _ = bench.regress("--report", report)
    assert (status, found["verdict"], found["exit_status"]) == (0, "inconclusive", 0)
    assert "smallest detectable loss" in found["suites"][0]["reason"]
    status, found, _ = bench.regress("--report", report, "--strict")
    assert (status, found["verdict"]) == (4, "inconclusive")


def test_canaries_and_subsets_are_shown_and_never_gate(bench):
    few, fewer = OLD[:100], [0.0] * 100
    part = {"alias": "vicuna", "evidence": "subset of alpacafarm: not independent evidence"}
    bench.accept(suite(OLD), suite(few, "llmbar"), suite(OLD, **part))
    report = bench.report("fewer", suite(OLD), suite(fewer, "llmbar"), suite(WORSE, **part))
    status, found, _ = bench.regress("--report", report)
    rows = {row["alias"]: row for row in found["suites"]}
    assert status == 0
    assert [rows[name]["verdict"] for name in ("alpacafarm", "llmbar", "vicuna")] == [
        "pass",
        "reported",
        "reported",
    ]
    assert rows["llmbar"]["difference"] < -30
    assert "does not gate" in rows["llmbar"]["reason"]
    assert rows["vicuna"]["worse"] > 0
    status, _, _ = bench.regress("--report", report, "--margin", "llmbar=5")
    assert status == 1  # a small suite gates where a margin is given
    status, _, err = bench.regress("--report", report, "--margin", "vicuna=5")
    assert status == 2
    assert "never gates" in lines(err)[0]


def test_a_subset_holds_its_own_items_only(bench):
    part = {"alias": "vicuna", "evidence": "subset of alpacafarm", "subsets": {"vicuna": {}}}
    bench.accept(suite(OLD), suite(OLD, **part))  # its rows are of the subset "all"
    rows = [json.loads(line) for line in bench.baseline.read_text().splitlines()[1:]]
    assert {row[0] for row in rows} == {0}


def test_holm_over_gating_suites(bench):
    slightly = [0.0 if i % 47 == 0 else s for i, s in enumerate(OLD)]
    bench.accept(suite(OLD), suite(OLD, "other"))
    _, found, _ = bench.regress("--report", bench.report("c", suite(slightly), suite(NOISY, "other")))
    first, second = found["suites"]
    assert first["p_holm"] == pytest.approx(2 * first["p"])
    assert second["p_holm"] == max(second["p"], first["p_holm"])


def test_options_and_pairs_gate_alike(bench):
    other = {"kind": "options", "metric": "accuracy.likeliest_option", "order": None, "judge": None}
    bench.accept(suite(OLD, "mmlu", **other))
    status, found, _ = bench.regress("--report", bench.report("c", suite(WORSE, "mmlu", **other)))
    assert (status, found["suites"][0]["test"]) == (1, "mid-p McNemar")


def test_soft_outcomes_are_permuted_and_bootstrapped(bench):
    soft = [float(x) for x in RNG.integers(0, 27, 400) / 26]
    bench.accept(suite(soft))
    lower = [max(0.0, s - 0.1) for s in soft]
    status, found, _ = bench.regress("--report", bench.report("c", suite(lower)))
    assert (status, found["suites"][0]["test"]) == (1, "sign-flip permutation")


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("suite_version", {"suite_version": "2"}),
        ("order", {"order": "policy_first"}),
        ("metric", {"metric": "win_rate.binary"}),
        ("judge.noise", {"judge": {**JUDGE, "noise": 0.25}}),
        ("judge.prompt_sha256", {"judge": {**JUDGE, "prompt_sha256": "ab"}}),
        ("data.references", {"data": {"items": "alpacafarm-400", "references": "others"}}),
        ("data.items", {"data": {"items": "others", "references": "r"}}),
        ("protocol", {"protocol": "5-shot"}),
    ],
)
def test_what_must_be_the_same_is_named(bench, field, other):
    bench.accept(suite(OLD))
    status, found, err = bench.regress("--report", bench.report("c", suite(OLD, **other)))
    assert (status, found["verdict"], err) == (3, "incomparable", "")
    assert [one["field"] for one in found["differing"]] == [field]
    assert f"{field} differs" in found["reasons"][0]


def test_lost_suites_and_other_items_are_incomparable(bench):
    bench.accept(suite(OLD), suite(OLD, "llmbar"))
    status, found, _ = bench.regress("--report", bench.report("c", suite(OLD)))
    assert (status, found["differing"][0]["suite"]) == (3, "llmbar")
    status, found, _ = bench.regress("--report", bench.report("d", suite(OLD)), "--suite", "alpacafarm")
    assert status == 0
    silent = {**suite([], "llmbar"), "reason": "the run has no reward model"}
    del silent["given"]
    _, found, _ = bench.regress("--report", bench.report("e", suite(OLD), silent))
    assert "no reward model" in found["reasons"][0]
    data = {"data": {"items": "alpacafarm-400", "references": "r"}}
    _, found, _ = bench.regress(
        "--report", bench.report("f", suite(OLD[1:], **data)), "--suite", "alpacafarm"
    )
    assert found["differing"][0]["field"] == "items"


def test_replayed_verdicts_of_one_annotator_are_comparable_and_of_nobody_are_not(bench):
    def stored(digest, annotators):
        judge = {"name": "replay", "version": "1", "sha256": digest, "rows": 400, "annotators": annotators}
        return suite(OLD, order="as stored", judge=judge)

    bench.accept(stored("1", ["gpt4"]))
    assert bench.regress("--report", bench.report("b", stored("2", ["gpt4"])))[0] == 0
    status, found, _ = bench.regress("--report", bench.report("c", stored("2", ["claude"])))
    assert (status, found["differing"][0]["field"]) == (3, "judge.annotators")
    bench.accept(stored("1", []))
    assert bench.regress("--report", bench.report("d", stored("2", [])))[0] == 3


def test_more_than_one_percent_without_a_score_is_an_error_not_a_score(bench):
    bench.accept(suite(OLD))
    holes = [None] * 5 + WORSE[5:]
    status, found, err = bench.regress("--report", bench.report("c", suite(holes)))
    assert (status, found["verdict"]) == (2, "error")
    assert "5 of 400 items have no score (5 unparsed)" in lines(err)[0]
    few = [None] * 4 + OLD[4:]
    status, found, _ = bench.regress("--report", bench.report("d", suite(few)))
    assert (status, found["suites"][0]["n"]) == (0, 396)
    assert found["suites"][0]["unparsed"] == {"baseline": 0, "candidate": 4}


def test_exact_fails_on_any_item_even_a_better_one(bench):
    bench.accept(suite(OLD))
    better = [1.0, *OLD[1:]]
    assert OLD[0] == 1.0 or better != OLD
    moved = [1.0 - OLD[0], *OLD[1:]]
    status, found, _ = bench.regress("--report", bench.report("c", suite(moved)), "--exact")
    assert status == 1
    assert "1 of 400 items have another score" in found["reasons"][0]
    assert bench.regress("--report", bench.report("d", suite(OLD)), "--exact")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--margin", "alpacafarm"], "expected SUITE=POINTS"),
        (["--margin", "alpacafarm=-3"], "expected SUITE=POINTS"),
        (["--margin", "alpacafarm=nan"], "expected SUITE=POINTS"),
        (["--margin", "alpacafram=3"], 'did you mean "alpacafarm"'),
        (["--suite", "alpacafram"], 'did you mean "alpacafarm"'),
        (["--exact", "--margin", "alpacafarm=3"], "expected one of them"),
        (["--report", "nowhere.json"], "cannot be read"),
        (["--run", "nobody"], "does not exist"),
        (["--baseline", "nowhere.jsonl"], "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(bench, arguments, said):
    bench.accept(suite(OLD))
    report = [] if arguments[0] in ("--report", "--run") else ["--report", bench.report("c", suite(OLD))]
    status, _, err = bench.regress(*report, *arguments)
    assert status == 2
    [line] = lines(err)
    assert any(each in line for each in said.split("|"))


def test_a_baseline_of_a_report_without_a_method_needs_a_name(bench):
    bench.accept(suite(OLD))
    manifest, _, rows = bench.baseline.read_text().partition("\n")
    origin = {**json.loads(manifest)["origin"], "method": None}
    bench.baseline.write_text(json.dumps(with_seal({**json.loads(manifest), "origin": origin})) + "\n" + rows)
    status, _, err = bench.regress()
    assert status == 2
    assert "neither --run nor --report was given" in lines(err)[0]


def test_only_canaries_gate_nothing_and_that_is_an_error(bench):
    bench.accept(suite(OLD[:80]))
    status, _, err = bench.regress("--report", bench.report("c", suite(OLD[:80])))
    assert status == 2
    assert "no suite gates" in lines(err)[0]
