"""AlpacaEval's files in small: all that the preference column can mean, in any order of rows and sides."""

import gzip
import json
import random

import pytest

from rlp_bench.api.errors import DataError
from rlp_bench.api.types import Pair
from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.judges.replay import Replay
from rlp_bench.suites.alpacafarm import AlpacaFarm, known_items

PREFERENCES = [1, 2, 2, 1.5, 0, 1.25, None, float("nan"), -1, 2]
"""For output_2, the model. Scores 0 1 1 .5 .5 .25 - - - 1: mean 4.25 / 7."""


def rows(preferences=PREFERENCES):
    return [
        {
            "instruction": f"ask {i}",
            "output_1": f"reference {i}",
            "generator_1": "text_davinci_003",
            "output_2": f"answer {i}",
            "generator_2": "mine",
            "dataset": "koala" if i < 5 else "oasst",
            "annotator": "some_judge",
            "preference": p,
        }
        for i, p in enumerate(preferences)
    ]


def outputs(n=10):
    return [{"instruction": f"ask {i}", "output": f"answer {i}", "generator": "mine"} for i in range(n)]


def turned(row):
    """The same verdict with the sides exchanged."""
    p = row["preference"]
    switched = {"output_1": row["output_2"], "output_2": row["output_1"]}
    switched |= {"generator_1": row["generator_2"], "generator_2": row["generator_1"]}
    is_choice = p is not None and p == p and p >= 1
    return {**row, **switched, "preference": 3 - p if is_choice else p}


@pytest.fixture
def score(tmp_path, store):
    def run(verdicts, answers, packed=False, **options):
        paths = [tmp_path / "annotations.json", tmp_path / "outputs.json"]
        for path, content in zip(paths, (verdicts, answers), strict=True):
            data = json.dumps(content).encode()
            path.write_bytes(gzip.compress(data) if packed else data)
        found = eval_command(
            suites=options.pop("suites", ["alpacafarm"]),
            outputs=paths[1],
            judge=f"replay:{paths[0]}",
            store=store,
            **options,
        )
        return found["suites"][-1]

    return run


EXPECTED = {"judged": 7, "unparsed": 2, "truncated": 0, "failed": 1, "missing": 0, "missing_output": 0}


@pytest.mark.parametrize("packed", [False, True])
def test_every_meaning_of_the_preference_column(score, packed):
    with pytest.raises(DataError, match=r"3 of 10 items have no verdict \(7 judged, 2 unparsed, 1 failed"):
        score(rows(), outputs(), packed)
    report = score(rows(), outputs(), packed, allow_missing=True)
    assert report["win_rate"] == pytest.approx(100 * 4.25 / 7)
    # Squared deviations from .607143 sum to 1.231...: sem = sqrt(sum / 6 / 7).
    values = [0, 1, 1, 0.5, 0.5, 0.25, 1]
    mean = sum(values) / 7
    sem = (sum((v - mean) ** 2 for v in values) / 6 / 7) ** 0.5
    assert report["standard_error"] == pytest.approx(100 * sem)
    assert report["coverage"] == EXPECTED
    assert (report["n_items"], report["n_scored"]) == (10, 7)
    # > .5: 1 1 1; .5: two -> (3 + 1) / 7.
    assert report["discrete_win_rate"] == pytest.approx(100 * 4 / 7)
    assert report["subsets"]["koala"] == {
        "win_rate": pytest.approx(60.0),
        "standard_error": pytest.approx(100 * (0.7 / 4 / 5) ** 0.5),
        "n": 5,
    }
    assert report["metric"] == "win_rate.soft"
    assert report["position_gap"] is None


def test_rows_in_any_order_and_sides_in_any_order_give_the_same(score):
    expected = score(rows(), outputs(), allow_missing=True)
    mixed = [turned(row) if i % 2 else row for i, row in enumerate(rows())]
    random.Random(3).shuffle(mixed)
    answers = outputs()
    random.Random(4).shuffle(answers)
    found = score(mixed, answers, allow_missing=True)
    for key in ("win_rate", "standard_error", "coverage", "discrete_win_rate"):
        assert found[key] == pytest.approx(expected[key]), key
    for name, subset in expected["subsets"].items():
        assert found["subsets"][name] == pytest.approx(subset)
    assert found["data"]["references"] == expected["data"]["references"]


def test_verdicts_in_both_orders_are_averaged_within_the_item(score):
    one = rows([2, 1])
    other = [{**turned(row), "preference": p} for row, p in zip(one, [2, 1], strict=True)]
    # ask 0: wins shown second, loses shown first -> .5; ask 1: the same the other way round.
    report = score(one + other, outputs(2))
    assert report["win_rate"] == 50.0
    assert report["standard_error"] == 0.0
    assert report["n_scored"] == 2


def test_contradictory_orders_have_a_position_gap(score):
    # The policy wins wherever it is shown first, or second; a third item agrees in both orders.
    first = [{**turned(row), "preference": 1} for row in rows([2, 2, 2])]
    second = [*rows([1, 1]), {**rows([2, 2, 2])[2]}]
    report = score(second + first, outputs(3))
    assert report["win_rate"] == pytest.approx(100 * 2 / 3)
    assert report["position_gap"] == pytest.approx(100 * 2 / 3)
    assert (report["n_scored"], report["order"]) == (3, "as stored")
    assert score([*first, *rows([2, 2, 2])], outputs(3))["position_gap"] == 0.0
    # Half of the items in both orders: the gap is theirs.
    assert score([*first[:1], *rows([1, 2, 2])], outputs(3))["position_gap"] == 100.0


def test_verdicts_of_several_annotators_are_averaged_aloud(score):
    two = [{**row, "annotator": "another_judge"} for row in rows([1, 2])]
    report = score(rows([2, 2]) + two, outputs(2))
    assert report["win_rate"] == 75.0
    assert report["judge"]["averaged"] == 1 + 1
    assert report["metric"] == "win_rate.soft"
    assert "2 verdicts are means over several annotators (another_judge, some_judge)" in report["warnings"]
    # A pool in which each item has one annotator averages nothing.
    alone = [*rows([2]), {**rows([2, 2])[1], "annotator": "another_judge"}]
    assert "averaged" not in score(alone, outputs(2))["judge"]


@pytest.fixture
def published(monkeypatch):
    """A world in which the published items are "ask 0" to "ask 9", four of them Vicuna's."""
    from rlp_bench.api.types import content_id
    from rlp_bench.suites import alpacafarm

    known = {content_id(f"ask {i}", ""): "vicuna" if i > 5 else "koala" for i in range(10)}
    monkeypatch.setattr(alpacafarm, "known_items", lambda: known)


def test_a_part_of_the_published_items_does_not_pass_as_the_whole(score, published, store, tmp_path):
    whole = score(rows([2] * 10), outputs(10))
    assert "absent_items" not in whole
    assert whole["warnings"] == []
    for given in (4, 9):
        with pytest.raises(
            DataError, match=rf'suite "alpacafarm": {given} of its 10 items are there.*--allow-missing'
        ):
            score(rows([2] * given), outputs(given))
    report = score(rows([2] * 4), outputs(4), allow_missing=True)
    assert (report["absent_items"], report["n_items"]) == (6, 4)
    assert "4 of the suite's 10 items: a part of alpacafarm" in report["warnings"]
    data = tmp_path / "data.json"
    data.write_text(
        json.dumps([{"instruction": f"ask {i}", "output": "r", "dataset": "koala"} for i in range(4)])
    )
    with pytest.raises(DataError, match="4 of its 10 items are there"):
        eval_command(outputs=tmp_path / "outputs.json", data=data, judge="longest", store=store)


def test_a_part_of_a_published_subset_does_not_pass_as_it(score, published):
    last = [{**row, "dataset": "vicuna"} for row in rows([2] * 10)[6:]]
    assert score(last, outputs(10)[6:], suites=["vicuna"])["n_items"] == 4
    with pytest.raises(DataError, match=r'suite "vicuna": 3 of its 4 items are there'):
        score(last[1:], outputs(10)[7:], suites=["vicuna"])


def test_items_that_are_none_of_the_published_ones_are_a_set_of_their_own(score):
    assert "absent_items" not in score(rows([2] * 4), outputs(4))


def test_side_without_an_output_is_told_by_the_other_rows(score):
    # The first item's answer is absent from the outputs; its row is stored the other way round.
    many = rows([2] * 200)
    many[0] = turned(many[0])
    report = score(many, outputs(200)[1:])
    assert report["win_rate"] == 100.0
    assert report["coverage"]["missing_output"] == 1
    assert report["n_scored"] == 200


def test_more_than_one_percent_missing_needs_leave(score, store):
    with pytest.raises(DataError, match=r"2 of 100 items have no answer.*--allow-missing"):
        score(rows([2] * 100), outputs(98))
    assert not store.root.exists()
    report = score(rows([2] * 100), outputs(98), allow_missing=True)
    assert report["coverage"]["missing_output"] == 2
    assert report["n_items"] == 100


def test_missing_preference_key_is_a_missing_verdict(score):
    verdicts = rows([2, 1, 2])
    del verdicts[2]["preference"]
    report = score(verdicts, outputs(3), allow_missing=True)
    assert report["win_rate"] == 50.0
    assert report["coverage"]["unparsed"] == 1


def test_verdicts_on_other_answers_are_not_used(score):
    # P10: the model was run again; the stored verdicts are about its old answers.
    changed = [{**row, "output": row["output"] + " again"} for row in outputs()]
    with pytest.raises(DataError, match="10 of 10 answers are not the ones that the verdict file judged"):
        score(rows(), changed)
    half = outputs()[:5] + changed[5:]
    report = score(rows(), half, allow_missing=True)
    assert report["n_scored"] == 5
    assert report["coverage"]["missing"] == 5


def test_identical_answers_tie_whatever_is_stored(score):
    verdicts = rows([2, 2])
    verdicts[1]["output_1"] = verdicts[1]["output_2"]
    report = score(verdicts, outputs(2))
    assert report["win_rate"] == 75.0
    assert report["identical"] == 1


def test_instruction_and_input_are_merged_as_alpacaeval_does(score):
    # P11, P13: the same instruction with two inputs is two items; joined with a blank line.
    verdicts = rows([2, 1])
    verdicts[0]["instruction"], verdicts[1]["instruction"] = "Rewrite.\n\nthis", "Rewrite.\n\nthat"
    answers = [
        {"instruction": "Rewrite.", "input": "that", "output": "answer 1"},
        {"instruction": "Rewrite.", "input": "this", "output": "answer 0"},
    ]
    report = score(verdicts, answers)
    assert report["n_scored"] == 2
    assert report["win_rate"] == 50.0
    assert report["subsets"]["koala"]["n"] == 2


def test_merged_and_unmerged_key_differ_by_the_blank_line(score):
    verdicts = rows([2])
    verdicts[0]["instruction"] = "Rewrite.\nthis"
    with pytest.raises(DataError, match="not in the suite"):
        score(verdicts, [{"instruction": "Rewrite.", "input": "this", "output": "answer 0"}])


def test_repeated_verdict_is_an_error(score):
    with pytest.raises(DataError, match="row 11 repeats row 1"):
        score([*rows(), rows()[0]], outputs())


def test_two_references_for_one_instruction_are_an_error(score):
    other = {**rows()[0], "output_1": "another baseline", "generator_1": "gpt4_1106_preview"}
    with pytest.raises(DataError, match="two different references"):
        score([*rows(), other], outputs())


@pytest.mark.parametrize("value", [3, 0.5, "2", True, [1]])
def test_preference_out_of_range_is_refused(score, value):
    with pytest.raises(DataError, match=r'row 2: "preference" is .*expected a number in'):
        score(rows([1, value]), outputs(2))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"[", "not JSON"),
        (b"{}", 'row 1: "instruction" is missing'),
        (b"[]", "expected a list"),
        (b"[1]", "row 1 is a number"),
        (
            b'[{"instruction": "x", "output": "y"}]',
            'row 1: "output_1" is missing; the row has instruction, output',
        ),
        (
            b'[{"instruction": "x", "output_1": "y", "output_2": 3, "preference": 1}]',
            '"output_2" is not text: 3',
        ),
        (b'[{"instruction": "x", "output_1": "y", "output_2": "z"}]', "no row has a preference"),
        (b"\x1f\x8b\x08broken", "is damaged gzip"),
    ],
)
def test_broken_verdict_file_is_one_line(tmp_path, content, said):
    path = tmp_path / "annotations.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as error:
        Replay(str(path))
    assert "\n" not in str(error.value)


def test_replay_needs_a_file():
    with pytest.raises(DataError, match="needs a file of verdicts"):
        Replay("")
    with pytest.raises(DataError, match="No such file"):
        Replay("/nowhere/annotations.json")


def test_judge_protocol_answers_in_either_order(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows([1.25, None])))
    judge = Replay(str(path))
    asked = [
        Pair("ask 0", "answer 0", "reference 0"),
        Pair("ask 0", "reference 0", "answer 0"),
        Pair("ask 0", "answer 1", "reference 0"),
        Pair("ask 1", "answer 1", "reference 1"),
    ]
    found = judge.judge(asked)
    assert [v.preference for v in found] == [0.25, 0.75, None, None]
    assert found[2].reason.startswith("missing")
    assert found[3].reason == "unparsed"
    assert judge.manifest()["annotators"] == ["some_judge"]


def test_vicuna_comes_from_the_same_verdicts(score):
    verdicts = rows([2, 1, 2, 2])
    for row in verdicts[2:]:
        row["dataset"] = "vicuna"
    report = score(verdicts, outputs(4), suites=["alpacafarm", "vicuna"])
    assert report["win_rate"] == 100.0
    assert report["n_items"] == 2
    assert "not independent evidence" in report["evidence"]


def test_the_805_are_known_by_hash_and_subset():
    counts = {}
    for subset in known_items().values():
        counts[subset] = counts.get(subset, 0) + 1
    assert counts == {"selfinstruct": 252, "oasst": 188, "koala": 156, "helpful_base": 129, "vicuna": 80}


def test_suite_without_data_says_what_to_give():
    with pytest.raises(DataError, match=r"--data alpaca_eval.json"):
        AlpacaFarm().items()


def test_data_file_gives_the_references(tmp_path, store):
    data = [{"instruction": f"ask {i}", "output": "long reference", "dataset": "koala"} for i in range(4)]
    (tmp_path / "data.json").write_text(json.dumps(data))
    (tmp_path / "outputs.json").write_text(json.dumps(outputs(4)))
    options = {"outputs": tmp_path / "outputs.json", "data": tmp_path / "data.json", "store": store}
    [report] = eval_command(judge="longest", **options)["suites"]
    assert report["win_rate"] == 0.0
    assert report["order"] == "both"
    assert report["position_gap"] == 0.0
    from rlp_bench.api.errors import BenchError

    with pytest.raises(BenchError, match="no judge; give --judge NAME"):
        eval_command(**options)
