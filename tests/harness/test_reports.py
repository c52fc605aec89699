"""Claims, label accuracy, item scores and samples: from hand-made numbers, and from a small matrix."""

import json
import shutil

import pytest

from rlp_bench.analysis.claims import Claim, judge_claims, load_claims, over_seeds, verdict
from rlp_bench.analysis.preference_accuracy import matched_accuracy
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import write_jsonl
from rlp_bench.api.report import item_scores
from rlp_bench.store.store import Store

ITEMS = [f"item-{n}" for n in range(60)]


def scores(rate, seeds=range(5)):
    """Every seed wins the first share of the items, one more or less."""
    return {
        s: {item: float(n < rate * len(ITEMS) + s % 3 - 1) for n, item in enumerate(ITEMS)} for s in seeds
    }


def claim(candidate="a", baseline="b", **more):
    return Claim("x", "2", "a is better", candidate, baseline, suite="alpacafarm", **more)


def test_a_claim_is_replicated_contradicted_inconclusive_or_not_run():
    found = {"good": scores(0.9), "bad": scores(0.2), "same": scores(0.2)}
    rows = judge_claims(
        [claim("good", "bad"), claim("bad", "good"), claim("same", "bad"), claim("nobody", "bad")],
        lambda _: found,
    )
    assert [row["verdict"] for row in rows] == ["replicated", "contradicted", "inconclusive", "not run"]
    assert rows[0]["effect"] == pytest.approx(70.0)
    assert rows[1]["effect"] == pytest.approx(-70.0)
    assert rows[0]["p_holm"] >= rows[0]["p"]


def test_holm_counts_only_claims_that_were_tried():
    found = {"good": scores(0.5), "bad": scores(0.3)}
    [alone] = judge_claims([claim("good", "bad")], lambda _: found)
    with_absent = judge_claims([claim("good", "bad"), claim("nobody", "bad")], lambda _: found)
    assert with_absent[0]["p_holm"] == alone["p_holm"] == alone["p"]


@pytest.mark.parametrize(
    ("effect", "p", "word"), [(1, 0.04, "replicated"), (-1, 0.04, "contradicted"), (9, 0.05, "inconclusive")]
)
def test_level_is_five_percent_after_correction(effect, p, word):
    assert verdict(effect, p) == word


def test_what_the_paper_itself_could_see():
    # By hand, METHODS' arithmetic: p .491 and .468, n 805: sd of a difference sqrt(.2499 + .2490) = .7063;
    # (1.95996 + .84162) * .7063 / sqrt(805) = 6.97 points. The published 2.3 is a third of it.
    one = claim(published=(49.1, 46.8), n=805)
    assert one.published_effect == pytest.approx(2.3)
    assert one.published_detectable == pytest.approx(6.97, abs=0.01)
    assert claim().published_effect is None


def test_label_accuracies_are_paired_by_seed_alone():
    # By hand: means .75 .5 .75 against .5 .5 .5: gaps .25 0 .25, mean .1667, sd .1443, se .0833, t = 2 with 2 degrees.
    high = {s: {f"p{s}{i}": float(i < k) for i in range(4)} for s, k in enumerate((3, 2, 3))}
    low = {s: {f"q{s}{i}": float(i < 2) for i in range(4)} for s in range(3)}
    d = over_seeds(high, low)
    assert (d.mean, d.se) == (pytest.approx(1 / 6), pytest.approx(0.0833, abs=1e-4))
    assert d.p == pytest.approx(0.1835, abs=1e-4)
    assert over_seeds({0: high[0]}, {0: low[0]}) is None  # one seed says nothing about others


def test_the_papers_claims_load_and_name_methods_that_exist():
    from rlp_bench.api import registry

    claims = load_claims()
    assert {c.table for c in claims} == {"2", "4", "5", "8", "Figure 2"}
    assert {c.candidate for c in claims} | {c.baseline for c in claims} <= set(registry.names("method"))
    spg = next(c for c in claims if c.id == "T5-acc-rlaif")
    assert (spg.published, spg.metric) == ((59, 52), "preference_accuracy")


def test_broken_claims_are_one_line(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text('[[claim]]\nid = "x"\ncandidat = "a"\n')
    with pytest.raises(DataError, match=r'claims "claims.toml": .*candidat'):
        load_claims(path)
    row = '[[claim]]\nid = "x"\ntable = "2"\ntext = "t"\ncandidate = "a"\nbaseline = "b"\n'
    path.write_text(row + row)
    with pytest.raises(DataError, match="id x is there twice"):
        load_claims(path)


def test_matched_accuracy_is_weighted_to_the_other_pairs_gaps():
    # By hand: small gaps right 1 of 2, large ones 2 of 2; the SFT pairs have 3 small and 1 large: .75 * .5 + .25 * 1.
    mine = [(1.0, 0.1), (0.0, 0.2), (1.0, 3.0), (1.0, 4.0)]
    found = matched_accuracy(mine, [0.1, 0.2, 0.0, 5.0])
    assert found["matched"] == pytest.approx(0.625)
    assert found["matched_se"] == pytest.approx((0.75**2 * 0.25 / 2) ** 0.5)
    assert found["covered"] == 1.0
    assert matched_accuracy(mine, [0.3])["matched"] is None  # no pair of mine has such a gap
    assert matched_accuracy(mine, [0.1, 0.3])["covered"] == 0.5


def test_a_suite_within_another_has_its_own_items_only(tmp_path):
    store = Store(tmp_path)
    write_jsonl(
        tmp_path / "scores.jsonl",
        [
            {"item_id": "a", "score": 1.0, "subset": "vicuna"},
            {"item_id": "b", "score": 0.0, "subset": "koala"},
            {"item_id": "c", "score": None, "subset": "vicuna"},
        ],
    )
    whole = {"scores": "scores.jsonl", "subsets": {"vicuna": {}, "koala": {}}}
    part = {"scores": "scores.jsonl", "subsets": {"vicuna": {}}, "evidence": "subset of alpacafarm: ..."}
    assert item_scores(store.root, whole) == {"a": 1.0, "b": 0.0}
    assert item_scores(store.root, part) == {"a": 1.0}
    assert item_scores(store.root, whole, subset="koala") == {"b": 0.0}


def test_preference_accuracy_of_a_matrix(small_matrix, cli):
    store, sets = small_matrix
    done = cli("report", "preference-accuracy", "--recipe", "nano", *sets, "--store", store, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    by_method = {row["method"]: row for row in found["labels"]}
    assert set(by_method) == {"rlaif", "rlp_spg", "select_all"}
    assert by_method["rlaif"]["stand_in"] == ["rlaif"]
    assert by_method["select_all"]["pairs"] > by_method["rlp_spg"]["pairs"]
    for row in by_method.values():
        assert row["pool"] is None or 0 <= row["pool"]["accuracy"] <= 1
        assert sum(row["accepted_by_category"].values()) == pytest.approx(2 * row["pairs"])
        assert set(row["accepted_by_category"]) <= set(row["offered_by_category"])
    spg = [row for row in found["reward_models"] if row["method"] == "rlp_spg" and row["seed"] == 0]
    assert [row["stage"] for row in spg] == ["reward", "reward-2"]
    assert spg[0]["sft"]["pool"]["n"] > 0
    assert "matched" in spg[1]["own"]["pool"]
    table = cli("report", "preference-accuracy", "--recipe", "nano", *sets, "--store", store)
    assert "rlaif (stand-in)" in table.stdout
    compared = cli("compare", "rlaif:ppo", "--recipe", "nano", *sets, "--store", store)
    assert "rlaif (stand-in) - ppo" in compared.stdout
    board = cli("leaderboard", "--store", store)
    assert "rlaif*†" in board.stdout
    assert "†: a stage stands in" in board.stdout
    assert "Confidence of RLP-SPG" in table.stdout


def test_the_results_document_and_the_ledger(small_matrix, cli, tmp_path):
    store, _ = small_matrix
    done = cli("report", "results", "--store", store, "--out", "docs/results.md")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "docs" / "results.md").read_text()
    for part in (
        "## Claims",
        "## Table 2",
        "## Table 5",
        "## At equal KL",
        "## Budgets",
        "rlaif†",
        "not at hand",
        "not run",
    ):
        assert part in text, part
    for name in ("subsets", "kl"):
        picture = (tmp_path / "docs" / "figures" / f"results-{name}.svg").read_text()
        assert picture.lstrip().startswith("<?xml")
        assert f"figures/results-{name}.svg" in text
    again = cli("report", "results", "--store", store, "--out", "again/results.md")
    assert again.returncode == 0
    assert (tmp_path / "again" / "results.md").read_text() == text  # the same store, the same bytes
    ledger = json.loads(cli("claims", "--store", store, "--json").stdout)
    run = {row["id"]: row["verdict"] for row in ledger["claims"]}
    assert run["T2-uml-sim"] == "not run"
    assert run["T5-spg-all"] in ("replicated", "contradicted", "inconclusive")


def test_samples_side_by_side(small_matrix, cli):
    store, sets = small_matrix
    common = ["--recipe", "nano", *sets, "--store", store]
    found = json.loads(
        cli("samples", *common, "--method", "rlp_spg", "--method", "ppo", "-n", "2", "--json").stdout
    )
    assert len(found["rows"]) == 2
    assert [a["method"] for a in found["rows"][0]["answers"]] == ["rlp_spg", "ppo"]
    assert all(a["text"] and 0 <= a["score"] <= 1 for row in found["rows"] for a in row["answers"])
    markdown = cli("samples", *common, "--method", "ppo", "-n", "1", "--markdown").stdout
    assert "| method | score | tokens | answer |" in markdown
    pairs = json.loads(
        cli(
            "samples", *common, "--view", "pairs", "--method", "rlaif", "--method", "select_all", "--json"
        ).stdout
    )
    assert {len(row["pairs"]) for row in pairs["rows"]} == {2}
    accepted = json.loads(
        cli("samples", *common, "--view", "accepted", "--method", "select_all", "-n", "4", "--json").stdout
    )
    sure = [row["confidence"] for row in accepted["rows"] if row["accepted"]]
    assert len(sure) == 4
    assert all(sum(row["clusters"]) >= 5 for row in accepted["rows"] if row["accepted"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--view", "pair"], 'samples --view "pair": did you mean "pairs"'),
        (["--item", "no such words"], "no item of \"alpacafarm\" fits 'no such words'"),
        (["--method", "ppo", "--view", "accepted"], "method ppo accepts nothing; give --method rlp_spg"),
        (["--method", "sft"], "has no finished run of nano@"),
    ],
)
def test_a_wrong_question_is_one_line(small_matrix, cli, arguments, line):
    store, sets = small_matrix
    done = cli("samples", "--recipe", "nano", *sets, "--store", store, *arguments)
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_matrix_is_one_line(cli):
    done = cli("report", "results", "--store", "empty")
    assert done.returncode == 2
    assert "has no matrix; `rlp-bench matrix` makes one" in done.stderr


def test_a_matrix_marks_stand_ins_and_does_no_work_twice(small_matrix, cli, tmp_path):
    """In a copy: it writes the store's matrix.json anew, for two methods."""
    sets, store = small_matrix[1], tmp_path / "copy"
    shutil.copytree(small_matrix[0], store)
    before = sorted(path.name for path in (store / "artifacts").iterdir())
    again = cli(
        "matrix",
        "--recipe",
        "nano",
        *sets,
        "--store",
        store,
        "--methods",
        "ppo,rlaif",
        "--seeds",
        "0..1",
        "--untuned",
    )
    assert "rlaif (stand-in)" in again.stdout
    assert sorted(path.name for path in (store / "artifacts").iterdir()) == before
