"""Files of preference strengths: our layout and the published one of HH-RLHF, and what is wrong with a row."""

import json

import pytest

from rlp_bench.api.errors import DataError
from rlp_bench.recipes.data_sources import open_source, read_split

PUBLISHED = {
    "chosen": ["Human: Hello.", "Assistant: Hi!", "Human: What is a fox?", "Assistant: An animal."],
    "rejected": ["Human: Hello.", "Assistant: Hi!", "Human: What is a fox?", "Assistant: A plant."],
    "GPT4 label": 1,
    "mean preference difference": -0.25,
    "std preference difference": 0.5,
    "chosen score list": [1.0, 0.5],
    "rejected score list": [0.75, 1.25],
}


def split(tmp_path, name, rows, of="strengths"):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    reference = f"{name}:{file}"
    return read_split(reference, open_source(reference), of, len(rows))


def test_the_published_layout_gives_the_pair_that_hh_rlhf_itself_gives_and_its_strength(tmp_path):
    raw = {side: "".join(f"\n\n{turn}" for turn in PUBLISHED[side]) for side in ("chosen", "rejected")}
    theirs = split(tmp_path, "hh_rlhf", [raw], "pairs")[0][0]
    [ours] = split(tmp_path, "hh_rlhf_strength", [PUBLISHED])[0]
    assert (ours.pop("strength"), ours.pop("strength_std")) == (-0.25, 0.5)
    assert ours | {"annotator": ""} == theirs | {"annotator": ""}
    assert (ours["chosen"], ours["rejected"]) == ("An animal.", "A plant.")


def test_turns_without_speakers_are_taken_in_turn(tmp_path):
    plain = {side: [turn.split(": ", 1)[1] for turn in PUBLISHED[side]] for side in ("chosen", "rejected")}
    rows = [PUBLISHED, PUBLISHED | plain]
    one, two = split(tmp_path, "hh_rlhf_strength", rows)[0]
    assert one == two


def test_the_same_file_is_a_source_of_pairs(tmp_path):
    rows = split(tmp_path, "hh_rlhf_strength", [PUBLISHED], "pairs")[0]
    assert rows[0]["chosen"] == "An animal."


def test_our_layout_has_the_strength_beside_the_pair_and_no_deviation_is_zero(tmp_path):
    row = {"prompt": "What?", "chosen": "This.", "rejected": "That.", "strength": 1}
    [found] = split(tmp_path, "preference_strengths", [row])[0]
    assert (found["instruction"], found["strength"], found["strength_std"]) == ("What?", 1.0, 0.0)


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("hh_rlhf_strength", {"mean preference difference": None}, '"mean preference difference" is null'),
        ("hh_rlhf_strength", {"mean preference difference": True}, "is true; expected a finite number"),
        ("hh_rlhf_strength", {"std preference difference": -1.0}, "expected a finite number, 0 or more"),
        ("hh_rlhf_strength", {"chosen": "Human: Hello."}, "expected a list of turns"),
        ("hh_rlhf_strength", {"chosen": ["Human: Bye.", "Assistant: Bye!"]}, "same beginning"),
        (
            "preference_strengths",
            {"strength": "strong", "chosen": "a", "rejected": "b"},
            '"strength" is "strong"',
        ),
    ],
)
def test_a_broken_row_is_one_line_that_names_it(tmp_path, name, changed, said):
    rows = [PUBLISHED | {"prompt": "What?"} | changed]
    with pytest.raises(DataError, match=said) as caught:
        split(tmp_path, name, rows)
    assert "row 1" in str(caught.value)
    assert "\n" not in str(caught.value)
