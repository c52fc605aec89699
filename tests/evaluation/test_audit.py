"""Judging the judge: hand-made pairs with hand-counted figures."""

import json

import pytest

from rlp_bench.api.errors import DataError
from rlp_bench.api.types import LabeledPair, Verdict
from rlp_bench.evaluation.human_agreement import human_agreement, majority
from rlp_bench.evaluation.judge_audit import audit, statistics
from rlp_bench.evaluation.resolve import load_judge


def silent(done, total, note=""):
    """Nobody waits."""


PAIRS = [
    LabeledPair("q1", "long answer", "short", 1, "Natural"),
    LabeledPair("q2", "a", "a longer answer", 1, "Manual"),
    LabeledPair("q3", "one two", "two one", 2, "GPTOut"),
]


class Table:
    """Says what a table holds of the answer shown first: a preference, or why there is none."""

    name, version = "table", "1"

    def __init__(self, said, otherwise=1.0):
        self.said, self.otherwise = said, otherwise

    def manifest(self):
        return {"name": self.name}

    def judge(self, pairs, seed=0):
        found = [self.said.get((pair.instruction, pair.first), self.otherwise) for pair in pairs]
        return [Verdict(None, one) if isinstance(one, str) else Verdict(one) for one in found]


def test_the_five_statistics_by_hand():
    # q1: right, right. q2: right given, tie swapped. q3: wrong (says output 1), right.
    found = statistics(list(zip(PAIRS, [(1.0, 0.0), (1.0, 0.5), (1.0, 1.0)], strict=True)))
    assert found == {
        "correct_False": pytest.approx(100 * 2 / 3),
        "correct_True": pytest.approx(100 * 2.5 / 3),
        "correct_average": pytest.approx(100 * 4.5 / 6),
        "correct_both": pytest.approx(100 / 3),
        "equal": pytest.approx(100 / 3),
    }
    assert statistics([]) == {}


def many(n):
    return [LabeledPair(f"q{i}", f"right {i}", f"wrong answer {i}", 1, "Natural") for i in range(n)]


def knows(n, lost):
    """A judge that is right of all n but those in `lost`, of which it gives no verdict in one order."""
    return Table(
        {
            **{(f"q{i}", f"wrong answer {i}"): 0.0 for i in range(n)},
            **{(f"q{i}", f"right {i}"): why for i, why in lost.items()},
        }
    )


def test_a_missing_verdict_is_neither_wrong_nor_equal_and_has_its_kind():
    lost = {
        0: "unparsed",
        1: "failed: status 500",
        2: "missing: never asked",
        3: "truncated: at 9 tokens",
        4: "",
    }
    found = audit(knows(30, lost), many(30), silent, allow_missing=True)
    assert set(found["statistics"].values()) == {100.0}
    assert (found["accuracy"]["mean"], found["accuracy"]["n"], found["n"], found["n_scored"]) == (
        100.0,
        25,
        30,
        25,
    )
    assert found["coverage"] == {"judged": 25, "unparsed": 2, "truncated": 1, "failed": 1, "missing": 1}
    assert found["longest"] == 0.0


def test_more_than_one_percent_without_a_verdict_is_no_audit():
    assert audit(knows(200, {0: "unparsed", 1: "unparsed"}), many(200), silent)["n_scored"] == 198
    three = {0: "unparsed", 1: "failed: 500", 2: "unparsed"}
    with pytest.raises(DataError, match=r"3 of 200 pairs have no verdict \(197 judged, 2 unparsed, 1 failed"):
        audit(knows(200, three), many(200), silent)
    with pytest.raises(DataError, match=r"no verdict on any of 5 pairs \(missing: never asked\)"):
        audit(knows(5, dict.fromkeys(range(5), "missing: never asked")), many(5), silent, allow_missing=True)


def test_a_subset_without_a_verdict_has_no_figures_and_no_part_in_a_mean():
    judge = Table({("q2", "a"): "unparsed"})
    found = audit(judge, PAIRS, silent, allow_missing=True)
    assert found["subsets"]["Manual"] == {}
    assert found["subsets"]["GPTOut"]["correct_average"] == 50.0
    assert found["adversarial_mean"] is None


def test_two_silences_do_not_agree():
    class Silent(Table):
        """Never says anything of the first question, and of the others another thing each time."""

        def judge(self, pairs, seed=0):
            return [
                Verdict(None, "unparsed") if p.instruction == "q1" else Verdict(float(seed)) for p in pairs
            ]

    assert audit(Silent({}), PAIRS, silent, repeats=2, allow_missing=True)["self_agreement"] == 0.0


def test_a_pair_that_stands_twice_in_either_order_is_counted():
    turned = LabeledPair("q1", "short", "long answer", 2, "Natural")
    assert audit(load_judge("longest"), [*PAIRS, turned], silent)["mirrored"] == 1
    assert audit(load_judge("longest"), PAIRS, silent)["mirrored"] == 0


def test_a_constant_judge_is_half_right_and_never_agrees_over_orders():
    found = audit(load_judge("constant"), PAIRS, silent)
    assert found["statistics"]["correct_average"] == 50.0
    assert (found["statistics"]["equal"], found["statistics"]["correct_both"]) == (0.0, 0.0)
    assert found["first_preferred"] == 1.0
    assert found["accuracy"]["mean"] == 50.0


def test_the_length_rule_and_the_mean_of_adversarial_subsets():
    # By hand: longest is right on q1, wrong on q2, ties on q3: 50 %; adversarial: Manual 0, GPTOut 50, mean 25.
    found = audit(load_judge("longest"), PAIRS, silent)
    assert found["longest"] == found["accuracy"]["mean"] == 50.0
    assert found["adversarial_mean"] == 25.0
    assert found["ties"] == 2


def test_agreement_with_itself_is_over_repeats():
    class Wavering:
        """Says the first of the even seeds and the second of the others."""

        name, version = "wavering", "1"

        def manifest(self):
            return {"name": self.name}

        def judge(self, pairs, seed=0):
            return [Verdict(float(seed % 2 == 0)) for _ in pairs]

    assert audit(Wavering(), PAIRS, silent, repeats=3)["self_agreement"] == pytest.approx(100 / 3)
    assert audit(load_judge("longest"), PAIRS, silent, repeats=2)["self_agreement"] == 100.0
    assert audit(load_judge("longest"), PAIRS, silent)["self_agreement"] is None


def people(tmp_path, *questions):
    """The judge "human" of votes: (instruction, one answer, the other, votes in {1, 2, 1.5})."""
    rows = [
        {"instruction": q, "output_1": a, "output_2": b, "preference": vote, "annotator": who}
        for q, a, b, votes in questions
        for who, vote in zip("abcde", votes, strict=False)
    ]
    path = tmp_path / "people.json"
    path.write_text(json.dumps(rows))
    return load_judge(f"human:{path}")


def test_people_judge_and_length_rule_are_of_the_same_majorities(tmp_path):
    asked = people(
        tmp_path,
        ("q1", "long answer", "short", (1, 1, 2)),  # c is left out of {1, 1}, and wrong; a and b leave a draw
        ("q2", "a", "a longer answer", (1, 1, 1)),
        ("q3", "x", "y", (1, 2, 1.5)),  # divided for all
        ("q4", "one", "three", (2,)),  # nobody to be left out of
    )
    found = human_agreement(load_judge("longest"), asked, silent)
    one, whole = found["leave_one_out"], found["majority"]
    # Longest is right on q1, wrong on q2, right on q4.
    assert (one["people"]["mean"], one["judge"]["mean"], one["longest"]["mean"]) == (50.0, 50.0, 50.0)
    assert (one["people"]["n"], one["judge"]["n"], one["divided"]) == (2, 2, 1)
    assert (whole["judge"]["mean"], whole["judge"]["n"]) == (pytest.approx(200 / 3), 3)
    assert (whole["longest"], whole["divided"]) == (whole["judge"], 1)
    assert found["people"]["items"] == 4
    # Pairs of equal votes: 1 of 3, 3 of 3, 0 of 3.
    assert found["people"]["pairwise"] == pytest.approx(100 * 4 / 9)


def test_a_judge_faces_the_same_majorities_of_others_as_the_people_left_out(tmp_path):
    votes = [(1, 1, 1), (1, 1, 2), (2, 1, 1), (1, 2, 2), (2, 2, 2), (1.5, 1, 1)]
    questions = [(f"q{i}", f"first {i}", f"other {i}", v) for i, v in enumerate(votes)]
    asked = people(tmp_path, *questions)
    said = {1: 1.0, 2: 0.0, 1.5: 0.5}
    table = {(q, first): said[v[2]] for q, first, _, v in questions}
    table |= {(q, other): 1 - said[v[2]] for q, _, other, v in questions}
    found = human_agreement(Table(table), asked, silent)["leave_one_out"]
    # The judge says what c says. Who is left out, the others being of one mind: all; c; a; a; all; a.
    per_pair = {"people": [1, 0, 0, 0, 1, 0.5], "judge": [1, 0, 1, 1, 1, 1]}
    for who, right in per_pair.items():
        assert found[who]["mean"] == pytest.approx(100 * sum(right) / len(right)), who


@pytest.mark.parametrize(
    ("votes", "better"),
    [
        ((1, 1, 0), 1),
        ((1, 0.5, 0.5), None),
        ((1, 0.5), None),
        ((1, 0), None),
        ((0, 0, 1, 0.5), None),
        ((0,), 0),
        ((), None),
    ],
)
def test_a_majority_is_more_than_half_of_all_votes(votes, better):
    assert majority(votes) == better


def test_a_pair_that_people_saw_in_either_order_is_one_pair(tmp_path):
    rows = [
        {"instruction": "q", "output_1": "x", "output_2": "yy", "preference": 2, "annotator": "a"},
        {"instruction": "q", "output_1": "yy", "output_2": "x", "preference": 1, "annotator": "b"},
    ]
    (tmp_path / "people.json").write_text(json.dumps(rows))
    found = human_agreement(load_judge("longest"), load_judge(f"human:{tmp_path / 'people.json'}"), silent)
    assert (found["majority"]["judge"]["n"], found["leave_one_out"]["people"]["mean"]) == (1, 100.0)


def test_a_judge_without_verdicts_on_peoples_pairs_is_no_wrong_judge(tmp_path):
    asked = people(tmp_path, *((f"q{i}", f"right {i}", f"wrong answer {i}", (1, 1)) for i in range(10)))
    with pytest.raises(DataError, match="2 of 10 pairs have no verdict"):
        human_agreement(knows(10, {0: "unparsed", 1: "failed: 500"}), asked, silent)
    found = human_agreement(knows(10, {0: "unparsed", 1: "failed: 500"}), asked, silent, allow_missing=True)
    assert (found["majority"]["judge"]["mean"], found["majority"]["judge"]["n"]) == (100.0, 8)
    assert (found["coverage"]["unparsed"], found["coverage"]["failed"]) == (1, 1)


def llmbar_rows(winners=(("1", "1"), ("1", "tie"), (None, "1"))):
    """LLMBar's file of PAIRS, one round of results a row."""
    return [
        {
            "input": pair.instruction,
            "output_1": pair.output_1,
            "output_2": pair.output_2,
            "label": pair.label,
            "results": [result(*both)],
        }
        for pair, both in zip(PAIRS, winners, strict=True)
    ]


def result(given, swapped):
    return {"swap = False": {"winner": given}, "swap = True": {"winner": swapped}}


def replay(tmp_path, rows):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(rows))
    return load_judge(f"replay:{path}")


def test_the_command_replays_llmbars_own_files(cli, tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(llmbar_rows()))
    done = cli("audit", "replay:result.json", "--suite", "llmbar", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "1 of 3 pairs have no verdict (2 judged, 1 unparsed" in done.stderr
    done = cli("audit", "replay:result.json", "--suite", "llmbar", "--allow-missing", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # q1: right, right; q2: right, tie. LLMBar itself has 2 of 3, 1 of 3 with a tie and no verdict both wrong.
    assert found["correct_average"] == pytest.approx(100 * 3.5 / 4)
    assert {"correct_False", "correct_True", "correct_both", "equal"} <= found.keys()
    assert found["coverage"]["unparsed"] == 1
    assert found["as_stored"]["correct_average"] == pytest.approx(100 * 3 / 6)
    shown = cli("audit", "replay:result.json", "--allow-missing")
    assert "percent correct" in shown.stdout
    assert "2 judged, 1 unparsed" in shown.stdout


def test_a_file_without_a_matching_pair_is_an_error(cli, tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(llmbar_rows()))
    for more in ((), ("--allow-missing",)):
        done = cli("audit", "replay:result.json", "--suite", "micro_llmbar_pairs", *more)
        assert done.returncode == 2
        assert "no verdict on any of 300 pairs (missing: " in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_verdict_is_the_last_of_several_steps(tmp_path):
    rows = llmbar_rows([("1", "2"), ("1", "1"), ("2", "2")])
    rows[0]["results"].append(result("2", "2"))  # settles the contradiction of the first round
    rows[1]["results"] = [["metrics", "stop"], ["a reference", "stop"], *rows[1]["results"]]
    judge = replay(tmp_path, rows)
    found = audit(judge, judge.labeled(), silent)
    assert found["statistics"] == found["as_stored"]
    assert found["statistics"]["correct_both"] == pytest.approx(200 / 3)
    assert found["statistics"]["equal"] == 100.0


def test_a_pair_in_both_orders_keeps_the_verdicts_of_each_row(tmp_path):
    rows = llmbar_rows([("1", "1"), ("1", "1"), ("2", "2")])
    turned = {**rows[0], "output_1": rows[0]["output_2"], "output_2": rows[0]["output_1"], "label": 2}
    judge = replay(tmp_path, [*rows, {**turned, "results": [result("1", "1")]}])
    found = audit(judge, judge.labeled(), silent)
    assert found["statistics"] == found["as_stored"]
    assert found["statistics"]["correct_both"] == 75.0


@pytest.mark.parametrize("results", [[], [["metrics", "stop"]], [{}], [{"swap = False": None}], [None]])
def test_a_row_without_a_result_is_a_missing_verdict(tmp_path, results):
    rows = llmbar_rows([("1", "1"), ("1", "1"), ("2", "2")])
    rows[1]["results"] = results
    judge = replay(tmp_path, rows)
    found = audit(judge, judge.labeled(), silent, allow_missing=True)
    assert found["coverage"] == {"judged": 2, "unparsed": 0, "truncated": 0, "failed": 0, "missing": 1}
    assert found["accuracy"]["mean"] == 100.0


def test_another_winner_than_one_of_the_two_is_unparsed(tmp_path):
    judge = replay(tmp_path, llmbar_rows([("1", "1"), ("3", "Output (a)"), ("2", "2")]))
    found = audit(judge, judge.labeled(), silent, allow_missing=True)
    assert found["coverage"]["unparsed"] == 1
    assert found["ties"] == 0


def test_rows_that_are_no_labelled_pairs_are_counted_in_one_line(tmp_path):
    good = llmbar_rows()
    broken = [
        {**good[0], "input": "p1", "label": None},
        {key: value for key, value in good[0].items() if key != "label"} | {"input": "p2"},
        {**good[0], "input": "p3", "label": 3},
        {**good[0], "input": "p4", "label": True},
        {**good[0], "input": "p5", "output_2": None},
        {key: value for key, value in good[0].items() if key != "results"} | {"input": "p6"},
        good[0],
        "nothing",
    ]
    with pytest.raises(DataError) as raised:
        replay(tmp_path, [*good, *broken])
    for said in (
        "8 of 11 rows cannot be used", "2 without label (row 4)",
        "2 with a label other than 1 or 2 (row 6)",
        "1 without text in output_2 (row 8)", "1 without results (row 9)", "1 repeating a pair (row 10)",
        "1 is a text, not an object (row 11)",
    ):  # fmt: skip
        assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_judge_on_the_embedded_worlds_pairs(cli):
    done = cli("audit", "longest", "--suite", "micro_llmbar_pairs", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["n"] == 300
    assert found["subsets"]["inflated"]["correct_average"] == 0.0  # the wrong one is the longer by design


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["longest"], 'suite "llmbar_pairs": needs its data'),
        (["longest", "--suite", "micro_mmlu"], "has no labeled pairs"),
        (["longst", "--suite", "micro_llmbar_pairs"], 'did you mean "longest"'),
        (["longest", "--data", "nowhere"], "cannot be read"),
    ],
)
def test_a_wrong_question_is_one_line(cli, arguments, line):
    done = cli("audit", *arguments)
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_changed_data_is_refused(tmp_path):
    from rlp_bench.suites.llmbar import LLMBar, LLMBarPairs

    folder = tmp_path / "Natural"
    folder.mkdir()
    (folder / "dataset.json").write_text(
        json.dumps([{"input": "q", "output_1": "a", "output_2": "b", "label": 1}])
    )
    with pytest.raises(DataError, match="1 pairs that are not the published 100 of Natural"):
        LLMBarPairs(f"{tmp_path}#Natural").items()
    (folder / "dataset.json").write_text(
        json.dumps([{"input": "q", "output_1": "a", "output_2": "b", "label": 3}])
    )
    with pytest.raises(DataError, match='row 1: "label" is not 1 or 2; expected LLMBar'):
        LLMBarPairs(f"{tmp_path}#Natural").items()
    with pytest.raises(DataError, match='no subset "Naturel"; did you mean "Natural"'):
        LLMBarPairs(f"{tmp_path}#Naturel")
    with pytest.raises(DataError, match="has no reference answers of its own"):
        LLMBar(str(tmp_path)).items()
