"""Claims, label accuracy, item scores and samples: from hand-made numbers, and from a small matrix."""

import json
import shutil

import numpy as np
import pytest

from rlp_bench.analysis.claims import MOST_PRIMARY, Claim, load_claims
from rlp_bench.analysis.matrix_results import analyze
from rlp_bench.analysis.preference_accuracy import matched_accuracy
from rlp_bench.analysis.stored_results import pack, read_stored, unpack
from rlp_bench.analysis.verdicts import VERDICTS, judge_claims, size_of, verdict
from rlp_bench.api import registry
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import write_jsonl
from rlp_bench.api.report import item_scores
from rlp_bench.leaderboard.results.claims import claims as ledger_section
from rlp_bench.leaderboard.results.claims import summary
from rlp_bench.leaderboard.results.differences import compared
from rlp_bench.statistics import paired_differences
from rlp_bench.store.store import Store

ITEMS = [f"item-{n}" for n in range(60)]


def scores(rate, seeds=range(5)):
    """Every seed wins the first share of the items, one more or less."""
    return {
        s: {item: float(n < rate * len(ITEMS) + s % 3 - 1) for n, item in enumerate(ITEMS)} for s in seeds
    }


def claim(candidate="a", baseline="b", id="x", **more):
    return Claim(id, "2", "a is better", candidate, baseline, suite="alpacafarm", **more)


def test_a_claim_is_replicated_contradicted_inconclusive_or_not_run():
    found = {"good": scores(0.9), "bad": scores(0.2), "same": scores(0.2)}
    rows = judge_claims(
        [
            claim("good", "bad", "1"),
            claim("bad", "good", "2"),
            claim("same", "bad", "3"),
            claim("nobody", "bad", "4"),
        ],
        lambda _: found,
    )
    assert [row["verdict"] for row in rows] == ["replicated", "contradicted", "inconclusive", "not run"]
    assert rows[0]["effect"] == pytest.approx(70.0)
    assert rows[1]["effect"] == pytest.approx(-70.0)
    assert rows[0]["p_holm"] >= rows[0]["p"]


def test_holm_counts_only_claims_that_were_tried():
    found = {"good": scores(0.5), "bad": scores(0.3)}
    [alone] = judge_claims([claim("good", "bad")], lambda _: found)
    with_absent = judge_claims([claim("good", "bad"), claim("nobody", "bad", "y")], lambda _: found)
    assert with_absent[0]["p_holm"] == alone["p_holm"] == alone["p"]


@pytest.mark.parametrize(
    ("effect", "p", "word"), [(1, 0.04, "replicated"), (-1, 0.04, "contradicted"), (9, 0.05, "inconclusive")]
)
def test_level_is_five_percent_after_correction(effect, p, word):
    assert verdict(effect, p) == word


def drawn(rng, effects, seeds=5, items=40):
    """ppo and one method an effect (fractions), each with seeds of its own."""
    return {
        name: {
            s: dict(zip(ITEMS, 0.5 + effect + rng.normal(0, 0.02) + rng.normal(0, 0.1, items), strict=False))
            for s in range(seeds)
        }
        for name, effect in {"ppo": 0.0, **{f"m{k}": e for k, e in enumerate(effects)}}.items()
    }


def test_an_effect_that_excludes_the_papers_is_smaller_or_larger_than_published():
    found = drawn(np.random.default_rng(0), [0.0, 0.0, 0.3, 0.3, 0.3])
    rows = judge_claims(
        [
            claim("m0", "ppo", "1", published=(70, 50)),
            claim("m1", "ppo", "2", published=(55, 50)),
            claim("m2", "ppo", "3", published=(52, 50)),
            claim("m3", "ppo", "4", published=(80, 50)),
            claim("ppo", "m4", "5", published=(55, 50)),
        ],
        lambda _: found,
    )
    assert [(row["verdict"], row["size"]) for row in rows] == [
        ("smaller than published", "smaller than published"),
        ("inconclusive", ""),
        ("replicated", "larger than published"),
        ("replicated", ""),
        ("contradicted", "smaller than published"),
    ]
    assert rows[1]["seeds_needed"]["zero"] is None  # the estimate is -.07 points
    # (z_.995 + z_.8)² = 11.7 times a seed variance of 36.9 over (5.07² - 11.7 * .19): 18, a little more with a t.
    assert 18 <= rows[1]["seeds_needed"]["published"] <= 26
    assert set(rows[0]["seeds_needed"]) == {"zero"}  # the paper's effect is excluded already
    assert set(rows[3]["seeds_needed"]) == {"published"}


@pytest.mark.parametrize(
    ("effect", "published", "p", "word"),
    [
        (1, 3, 0.04, "smaller than published"),
        (1, -3, 0.04, "larger than published"),
        (1, 3, 0.05, ""),
        (1, None, 1, ""),
    ],
)
def test_size_is_told_at_five_percent(effect, published, p, word):
    assert size_of(effect, published, p) == word
    assert verdict(effect, 0.5, word) == (word or "inconclusive")


def test_parts_of_other_claims_and_the_same_numbers_inflate_nothing():
    """Vicuna twice and a subset beside one claim: its p is what it is alone. Was multiplied by four."""
    found = drawn(np.random.default_rng(1), [0.03, 0.0, 0.0, 0.0])
    first = claim("m0", "ppo", "1")
    rest = [
        claim("m0", "ppo", "2", subset="vicuna", part_of="1"),
        claim("m0", "ppo", "3", subset="vicuna", same_as="2"),
        claim("m0", "ppo", "4", subset="koala", part_of="1"),
    ]
    rows = judge_claims([first, *rest], lambda _: found)
    assert rows[0]["p_holm"] == rows[0]["p"]
    assert [row["verdict"] for row in rows[1:]] == ["no test of its own"] * 3
    assert rows[2]["family"] == "same as 2"
    assert all(row["p_holm"] is None and row["effect"] is not None for row in rows[1:])


def test_exploratory_claims_do_not_inflate_the_primary_ones():
    found = drawn(np.random.default_rng(2), [0.03] * 6)
    primary = claim("m0", "ppo", "0", primary=True)
    others = [claim(f"m{k}", "ppo", str(k)) for k in range(1, 6)]
    rows = judge_claims([primary, *others], lambda _: found)
    assert rows[0]["p_holm"] == rows[0]["p"]
    assert rows[1]["p_holm"] > rows[1]["p"]
    assert rows[1]["level"] <= 0.05 / 4
    assert [row["family"] for row in rows] == ["primary", *["exploratory"] * 5]


def test_what_a_claim_could_see_is_what_the_deciding_test_sees():
    """Eight claims alike: at the first step of eight on its degrees, not by z at .05."""
    found = drawn(np.random.default_rng(3), [0.0] * 8)
    rows = judge_claims([claim(f"m{k}", "ppo", str(k)) for k in range(8)], lambda _: found)
    for row in rows:
        assert row["level"] == pytest.approx(0.05 / 8)
        assert row["detectable"] > 1.2 * 2.8016 * row["standard_error"]


def test_five_percent_of_documents_have_a_wrong_primary_verdict():
    """Eight claims, published +5: half are 0 and half are 5, so that every verdict about the size of one, and half of
    those about its sign, are wrong. 150 documents; the error of the simulation is 1.8 %."""
    rng, wrong, told_right = np.random.default_rng(4), 0, 0
    asked = [claim(f"m{k}", "ppo", str(k), primary=True, published=(55, 50)) for k in range(8)]
    for _ in range(150):
        found = drawn(rng, [0.0] * 4 + [0.05] * 4, items=20)
        rows = judge_claims(asked, lambda _, found=found: found)
        null, real = rows[:4], rows[4:]
        wrong += any(row["p_holm"] < 0.05 for row in null) or any(row["size"] for row in real)
        told_right += sum(row["verdict"] == "replicated" for row in real)
    assert wrong <= 0.09 * 150
    assert told_right > 10  # it can find something


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
    [d] = paired_differences({"high": high, "low": low}, [("high", "low")], same_items=False)
    assert (d.mean, d.se) == (pytest.approx(1 / 6), pytest.approx(0.0833, abs=1e-4))
    assert d.p == pytest.approx(0.1835, abs=1e-4)
    one = [claim("high", "low", metric="preference_accuracy")]
    assert judge_claims(one, lambda _: {"high": {0: high[0]}, "low": {0: low[0]}})[0]["verdict"] == "not run"


def test_the_papers_claims_load_and_name_methods_that_exist():
    from rlp_bench.api import registry

    claims = load_claims()
    assert {c.table for c in claims} == {"2", "4", "5", "8", "Figure 2"}
    assert {c.candidate for c in claims} | {c.baseline for c in claims} <= set(registry.names("method"))
    assert 1 <= sum(c.primary for c in claims) <= MOST_PRIMARY
    by_id = {c.id: c for c in claims}
    assert by_id["F2-uml-vicuna"].same_as == "T2-uml-vicuna"  # the same eighty items
    assert by_id["T2-uml-vicuna"].part_of == by_id["F2-uml-koala"].part_of == "T2-uml-sim"
    assert all(c.part_of or c.same_as for c in claims if c.subset or c.suite == "vicuna")
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
    path.write_text(row + 'part_of = "y"\n')
    with pytest.raises(DataError, match='x belongs to "y"; expected the id of another claim'):
        load_claims(path)
    second = row.replace('"x"', '"z"')
    path.write_text(row + second + 'same_as = "x"\nprimary = true\n')
    with pytest.raises(DataError, match="z is primary and belongs to x"):
        load_claims(path)
    path.write_text("".join(row.replace('"x"', f'"{k}"') + "primary = true\n" for k in range(9)))
    with pytest.raises(DataError, match="9 claims are primary; expected 8 at most"):
        load_claims(path)


def test_the_document_says_of_every_claim_what_is_known():
    found = drawn(np.random.default_rng(5), [0.3, 0.0, 0.0, 0.0, 0.0])
    asked = [
        claim("m0", "ppo", "1", primary=True, published=(52, 50)),
        claim("m1", "ppo", "2", primary=True, published=(70, 50)),
        claim("m2", "ppo", "3"),
        claim("m2", "ppo", "4", part_of="3"),
    ]
    rows = [{**row, "stand_in": False} for row in judge_claims(asked, lambda _: found)]
    text = ledger_section({"claims": rows})
    assert "replicated, larger than published" in text
    assert "| smaller than published |" in text
    assert "### Primary claims" in text
    assert "| part of 3 |" in text
    assert "seeds needed: not 0" in text
    first = "\n".join(
        summary(
            {"claims": rows, "primary": {"replicated": 1, "smaller than published": 1}, "exploratory": {}}
        )
    )
    assert "Of 2 primary claims that could be tested: 1 replicated, 1 smaller than published." in first
    assert "At most 5 % of such documents" in first


def test_a_collapsed_seed_stands_in_the_document_with_and_without():
    row = {
        "candidate": "a",
        "difference": -9.0,
        "ci95": [-20, 2],
        "p": 0.08,
        "p_holm": 0.2,
        "verdict": "inconclusive: x",
    }
    row |= {"smallest_detectable_difference": 12.0, "collapsed": {"a": [3]}}
    row |= {"without_collapsed": {"seeds": [0, 1, 2, 4], "difference": 1.0, "ci95": [-1, 3]}}
    lines = compared({"stand_ins": {}, "matrix": {}}, [row], "PPO").splitlines()
    assert lines[-1] == "| a, 4 seeds | +1.0 (−1.0 to +3.0) |  |  |  | without collapsed: a seed 3 |"


def test_tuning_at_the_edge_marks_a_method():
    from rlp_bench.leaderboard.results.text import label

    measured = [{"value": v} for v in (0.1, 0.2, 0.4)]
    choices = {"a": {"value": 0.1, "measured": measured}, "b": {"value": 0.2, "measured": measured}}
    r = {"stand_ins": {"a": ["x"]}, "matrix": {"tuning": {"choices": choices}}}
    assert [label(r, m) for m in ("a", "b", "sft")] == ["a†‡", "b", "sft"]


def test_stored_scores_come_back_as_they_were():
    table = {"a": {0: {"x": 1 / 26, "y": 0.5}, 1: {"x": 25 / 52}}, "b": {0: {"y": 1.0}}}
    packed = json.loads(json.dumps(pack(table)))
    assert packed["unit"] == 52
    back = unpack(packed)
    assert {m: {s: sorted(v) for s, v in of.items()} for m, of in back.items()} == {
        "a": {0: ["x", "y"], 1: ["x"]}, "b": {0: ["y"]},
    }  # fmt: skip
    assert back["a"][1]["x"] == pytest.approx(25 / 52, abs=1e-12)
    assert unpack(pack({"a": {0: {"x": 0.12345678}}}))["a"][0]["x"] == pytest.approx(0.1235)


def test_results_from_before_scores_were_stored_are_one_line(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(DataError, match="holds no item scores"):
        read_stored(tmp_path / "results.json")
    with pytest.raises(DataError, match="no such file"):
        read_stored(tmp_path / "none.json")


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
    assert item_scores(lambda name: store.root / name, whole) == {"a": 1.0, "b": 0.0}
    assert item_scores(lambda name: store.root / name, part) == {"a": 1.0}
    assert item_scores(lambda name: store.root / name, whole, subset="koala") == {"b": 0.0}


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
    assert "†: a stage is a stand-in" in board.stdout
    assert "Confidence of RLP-SPG" in table.stdout


def test_the_results_document_and_the_ledger(small_matrix, cli, tmp_path):
    store, _ = small_matrix
    done = cli("report", "results", "--store", store, "--out", "docs/results.md")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "docs" / "results.md").read_text()
    stored = analyze(read_stored(tmp_path / "docs" / "figures" / "results.json"))
    assert (
        registry.load("board", "results")().render([stored], "md") == text
    )  # every table, from the file alone
    for part in (
        "## Claims",
        "### By other judges",
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
    assert run["T5-spg-all"] in VERDICTS
    assert run["F2-spg-vicuna"] == "no test of its own"


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
