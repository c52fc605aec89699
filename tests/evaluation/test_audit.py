"""Judging the judge: hand-made pairs with hand-counted figures."""

import json

import pytest

from rlp_bench.api.errors import DataError
from rlp_bench.api.types import LabelledPair, Verdict
from rlp_bench.evaluation.judge_audit import audit, human_agreement, statistics
from rlp_bench.evaluation.resolve import load_judge


def silent(done, total, note=""):
    """Nobody waits."""


PAIRS = [
    LabelledPair("q1", "long answer", "short", 1, "Natural"),
    LabelledPair("q2", "a", "a longer answer", 1, "Manual"),
    LabelledPair("q3", "one two", "two one", 2, "GPTOut"),
]


def test_the_five_statistics_by_hand():
    # q1: right, right. q2: right given, tie swapped. q3: no verdict given, wrong swapped (says output 1).
    given, swapped = [1.0, 1.0, None], [0.0, 0.5, 0.0]
    found = statistics(PAIRS, given, swapped)
    assert found == {
        "correct_False": pytest.approx(100 * 2 / 3),
        "correct_True": pytest.approx(100 * 1.5 / 3),
        "correct_average": pytest.approx(100 * 3.5 / 6),
        "correct_both": pytest.approx(100 / 3),
        "equal": pytest.approx(100 / 3),
    }
    assert statistics(PAIRS[:1], [None], [None])["equal"] == 100.0  # LLMBar's rule: None equals None


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


def test_agreement_with_people_is_beside_one_more_person_and_length(tmp_path):
    rows = [
        {"instruction": q, "output_1": a, "output_2": b, "preference": vote, "annotator": who}
        for q, a, b, votes in (
            ("q1", "long answer", "short", (1, 1, 2)),
            ("q2", "a", "a longer answer", (1, 1, 1)),
            ("q3", "x", "y", (1, 2, 1.5)),
        )
        for who, vote in zip("abc", votes, strict=True)
    ]
    path = tmp_path / "people.json"
    path.write_text(json.dumps(rows))
    found = human_agreement(load_judge("longest"), load_judge(f"human:{path}"), silent)
    # By hand: the majority says q1 first, q2 first; q3 is divided. Longest is right on q1 and wrong on q2.
    assert (found["judge"]["mean"], found["judge"]["n"], found["divided"]) == (50.0, 2, 1)
    assert found["longest"]["mean"] == 50.0
    assert found["people"]["items"] == 3


def llmbar_rows():
    rows = []
    for pair, (given, swapped) in zip(PAIRS, ((1, 1), (1, "tie"), (None, 1)), strict=True):
        results = [
            {
                "swap = False": {"winner": given and str(given)},
                "swap = True": {"winner": swapped and str(swapped)},
            }
        ]
        row = {
            "input": pair.instruction,
            "output_1": pair.output_1,
            "output_2": pair.output_2,
            "label": pair.label,
        }
        rows.append({**row, "results": results})
    return rows


def test_the_command_replays_llmbars_own_files(cli, tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(llmbar_rows()))
    done = cli("audit", "replay:result.json", "--suite", "llmbar", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["correct_average"] == pytest.approx(100 * 3.5 / 6)
    assert {"correct_False", "correct_True", "correct_both", "equal"} <= found.keys()
    assert found["unparsed"] == 1
    shown = cli("audit", "replay:result.json")
    assert "percent right" in shown.stdout


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
        (["longest", "--suite", "micro_mmlu"], "has no labelled pairs"),
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
    with pytest.raises(DataError, match="row 1: expected input, output_1, output_2"):
        LLMBarPairs(f"{tmp_path}#Natural").items()
    with pytest.raises(DataError, match='no subset "Naturel"; did you mean "Natural"'):
        LLMBarPairs(f"{tmp_path}#Naturel")
    with pytest.raises(DataError, match="has no reference answers of its own"):
        LLMBar(str(tmp_path)).items()
