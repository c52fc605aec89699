"""Preferences of a file: every row becomes a preference or a listed drop."""

from pathlib import Path

import pytest

from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import read_jsonl, write_jsonl
from rlp_bench.api.protocols import Context
from rlp_bench.api.types import Artifact, Prompting
from rlp_bench.run.meter import StageMeter
from rlp_bench.trainers.preferences.from_file import ImportPreferences

BASE = Path(__file__).resolve().parents[2] / "rlp_bench" / "micro" / "base"


def imported(tmp_path: Path, rows, **prompting):
    """(rows, dropped rows, metrics) of the stage on the embedded world's tokenizer."""
    folder, out = tmp_path / "pairs", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    write_jsonl(folder / "rows.jsonl", rows)
    context = Context(
        0, "cpu", Prompting(**prompting), tmp_path, lambda *_: None, StageMeter(), engine=None
    )  # fmt: skip
    inputs = {"init": Artifact("policy", "", BASE), "pairs": Artifact("pairs", "", folder)}
    metrics = ImportPreferences().train(inputs, out, context)
    return list(read_jsonl(out / "rows.jsonl")), list(read_jsonl(out / "dropped.jsonl")), metrics


def pair(instruction="name a fruit", chosen="the red apple", rejected="a blue boat", **more):
    return {"instruction": instruction, "input": "", "chosen": chosen, "rejected": rejected, **more}


def test_every_row_becomes_a_preference_or_a_listed_drop(tmp_path):
    by_number = {"instruction": "name a fruit", "output_1": "the apple", "output_2": "the boat"}
    rows = [
        pair(annotator="hh_rlhf"),
        pair(),  # again
        pair(chosen="a blue boat", rejected="the red apple"),  # the other way round
        pair(chosen="same", rejected="same"),
        {**by_number, "preference": 2.0},
        {**by_number, "preference": 1.5},
        {**by_number, "preference": None},
        pair(instruction="word " * 30),
        pair(chosen="word " * 9),
    ]
    found, dropped, metrics = imported(tmp_path, rows, max_prompt_tokens=20, max_response_tokens=8)
    assert [(row["chosen"], row["annotator"]) for row in found] == [
        ("the red apple", "hh_rlhf"),
        ("a blue boat", "file"),
        ("the boat", "file"),
    ]
    assert {row["row"]: row["reason"] for row in dropped} == {
        2: "duplicate",
        4: "identical",
        6: "tie",
        7: "no_verdict",
        8: "prompt_too_long",
        9: "response_too_long",
    }
    assert metrics["rows_in"] == 9 == metrics["rows_used"] + len(dropped)
    assert metrics["contradicted"] == 2
    assert metrics["prompts"] == 1
    assert all(row["source"] == "annotator" and row["chosen_finished"] for row in found)
    assert all(row["chosen_tokens"] > 0 for row in found)


def test_nothing_usable_and_a_strange_preference_are_one_line(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(BenchError, match=r"none of 1 pairs is usable \{'identical': 1\}"):
        imported(tmp_path / "a", [pair(chosen="x", rejected="x")])
    strange = {"instruction": "I", "output_1": "a", "output_2": "b", "preference": 4}
    with pytest.raises(BenchError, match="row 1: preference is 4"):
        imported(tmp_path / "b", [strange])
