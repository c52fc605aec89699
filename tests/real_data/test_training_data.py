"""Training data: AlpacaFarm's splits, files of preferences, and the ledger that accounts for every row."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from patience import PATIENCE
from shared_files import shared

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.data_sources import open_source, read_split
from rlp_bench.recipes.load import load_recipe
from rlp_bench.suites.hh_dialogue import human_turns, read_dialogue

DATA = shared("data")
ALPACA = f"{DATA}/alpaca/alpaca_data.json.gz,splits={DATA}/alpaca/alpacafarm_like_splits.json.gz"
HH = DATA / "preference" / "hh_rlhf" / "harmless-base_test.jsonl.gz"
CROSS = DATA / "alpaca_farm" / "alpacafarm_crossannotation_pairs_gpt4x8.json.gz"
real = pytest.mark.skipif(not HH.is_file(), reason="needs Alpaca and HH-RLHF in ../shared/data")
ITEM = "What are the names of some famous actors that started their careers on Broadway?"
"""The first of the 805 evaluation items."""
ROW = {"instruction": "Add one.", "input": "2", "output": "3"}
NAMES = {"sft": "sft", "preferences": "preference", "unlabeled": "unlabeled", "dev": "val"}


def farm(folder: Path, **rows) -> str:
    """A folder as tatsu-lab/alpaca_farm has it, and its reference."""
    inside = folder / "alpaca_instructions"
    inside.mkdir(parents=True, exist_ok=True)
    for name in NAMES.values():
        (inside / f"{name}.json").write_text(json.dumps(rows.get(name, [ROW])))
    return f"alpacafarm_data:{folder}"


def read(reference: str, split: str, count: int):
    return read_split(reference, open_source(reference), split, count)


def written(path: Path, rows) -> Path:
    path.write_text(json.dumps(rows))
    return path


def fault(call, *arguments) -> str:
    """The one line that a person reads."""
    with pytest.raises(BenchError) as caught:
        call(*arguments)
    line = str(caught.value)
    assert "\n" not in line
    return line


# --- AlpacaFarm's splits ------------------------------------------------------------------------------


@real
def test_the_like_splits_have_alpacafarms_sizes_and_every_row_is_accounted_for(capsys):
    reference = f"alpacafarm_data:{ALPACA}"
    seen: Counter[tuple[str, str]] = Counter()
    for split, count in {"sft": 10000, "preferences": 10000, "unlabeled": 20000, "dev": 2000}.items():
        rows, drops, ledger = read(reference, split, count)
        assert ledger["rows_in"] == count == len(rows) + len(drops)
        assert ledger["rows_used"] == len(rows)
        assert all(("response" in row) == (split == "sft") for row in rows)
        seen.update((row["instruction"], row["input"]) for row in rows)
        print(split, ledger)
    assert max(seen.values()) == 1  # no prompt is in two splits
    assert Counter(drop["reason"] for drop in read(reference, "sft", 10000)[1]) == {"empty_response": 6}


@real
def test_texts_are_the_files_own():
    rows = json.loads(gzip.decompress((DATA / "alpaca" / "alpaca_data.json.gz").read_bytes()))
    places = json.loads(gzip.decompress((DATA / "alpaca" / "alpacafarm_like_splits.json.gz").read_bytes()))
    found = read(f"alpacafarm_data:{ALPACA}", "sft", 500)[0]
    given = [rows[place] for place in places["sft"][:500] if rows[place]["output"].strip()]
    assert [tuple(row.values()) for row in found] == [
        (r["instruction"], r["input"], r["output"]) for r in given
    ]


def test_a_folder_as_on_the_hub_plain_or_gzipped_or_the_inner_one(tmp_path):
    rows = [ROW, {**ROW, "input": "3", "output": "4"}]
    reference = farm(tmp_path, sft=rows, val=[{"instruction": "Sing.", "input": None, "output": ""}])
    assert read(reference, "sft", 2)[0] == [
        {"instruction": "Add one.", "input": "2", "response": "3"},
        {"instruction": "Add one.", "input": "3", "response": "4"},
    ]
    assert read(reference, "dev", 1)[0] == [{"instruction": "Sing.", "input": ""}]
    plain = open_source(reference).version_of("sft")
    inner = tmp_path / "alpaca_instructions"
    (inner / "sft.json.gz").write_bytes(gzip.compress((inner / "sft.json").read_bytes()))
    (inner / "sft.json").unlink()
    assert open_source(f"alpacafarm_data:{inner}").version_of("sft") == plain


def test_evaluation_items_duplicates_and_empty_responses_are_dropped_counted_and_listed(tmp_path):
    rows = [ROW, {"instruction": ITEM, "input": "", "output": "x"}, ROW, {**ROW, "output": " "}]
    head, _, tail = ITEM.partition("\n\n")
    assert not tail, head
    reference = farm(tmp_path, sft=rows, unlabeled=rows)
    found, drops, ledger = read(reference, "sft", 4)
    assert [row["response"] for row in found] == ["3"]
    assert drops == [
        {"row": 2, "reason": "evaluation_item"},
        {"row": 3, "reason": "duplicate"},
        {"row": 4, "reason": "empty_response"},
    ]
    assert ledger == {
        "rows_in": 4,
        "rows_used": 1,
        "dropped_evaluation_item": 1,
        "dropped_duplicate": 1,
        "dropped_empty_response": 1,
    }
    assert read(reference, "unlabeled", 4)[2]["dropped_duplicate"] == 2  # a prompt needs no response


def test_another_file_is_another_version_of_that_split_alone(tmp_path):
    before = {s: open_source(farm(tmp_path)).version_of(s) for s in NAMES}
    after = {s: open_source(farm(tmp_path, sft=[{**ROW, "output": "three"}])).version_of(s) for s in NAMES}
    assert {s for s in NAMES if before[s] != after[s]} == {"sft"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"instruction": "Do.", "input": "", "output": 3}, 'row 2: "output" is not text: 3'),
        ({"instruction": "Do.", "text": ""}, '"output" is missing; the row has instruction, text'),
        ({"prompt": "Do.", "output": ""}, '"instruction" is missing; the row has output, prompt'),
        ({"instruction": " ", "output": "x"}, 'row 2: "instruction" is empty'),
        (["Do."], "expected a list of"),
    ],
)
def test_a_row_of_another_shape_is_one_line_with_file_and_row(tmp_path, row, said):
    line = fault(read, farm(tmp_path, sft=[ROW, row]), "sft", 2)
    assert "sft.json" in line
    assert said in line


def test_what_is_not_there_is_one_line(tmp_path):
    reference = farm(tmp_path)
    for argument in ("", ":", ":nowhere", f":{written(tmp_path / 'one.json', [ROW])}"):
        assert "alpaca_instructions" in fault(open_source, f"alpacafarm_data{argument}")
    assert 'split "sft" has 1 rows; expected 5 or more' in fault(read, reference, "sft", 5)
    assert 'has no split "test"' in fault(read, reference, "test", 1)
    (tmp_path / "alpaca_instructions" / "val.json").unlink()
    assert "has no val.json" in fault(read, reference, "dev", 1)
    (tmp_path / "alpaca_instructions" / "sft.json").write_text('[{"instruction": "cut')
    assert "not JSON, or truncated" in fault(read, reference, "sft", 1)


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"sft": [0], "preference": [1], "unlabeled": []}, "of sft, preference, unlabeled, val"),
        ({"sft": [0], "preference": [0], "unlabeled": [], "val": []}, "row 0 is in sft and in preference"),
        ({"sft": [9], "preference": [], "unlabeled": [], "val": []}, "sft: 9 is not a row of"),
        ({"sft": 3, "preference": [], "unlabeled": [], "val": []}, "sft: null is not a row of"),
    ],
)
def test_row_numbers_that_cannot_be_are_one_line(tmp_path, splits, said):
    one, where = written(tmp_path / "one.json", [ROW, ROW]), written(tmp_path / "s.json", splits)
    assert said in fault(read, f"alpacafarm_data:{one},splits={where}", "sft", 1)


# --- Files of preferences -----------------------------------------------------------------------------


@real
def test_hh_rlhf_splits_where_the_dialogues_part():
    raw = [json.loads(line) for line in gzip.decompress(HH.read_bytes()).decode().split("\n") if line]
    rows, drops, ledger = read(f"hh_rlhf:{HH}", "pairs", 2312)
    assert ledger == {"rows_in": 2312, "rows_used": 2303, "dropped_answer_goes_on": 5, "dropped_empty": 4}
    dropped = {drop["row"] for drop in drops}
    kept = [row for number, row in enumerate(raw, 1) if number not in dropped]
    for row, given in zip(rows, kept, strict=True):
        for side in ("chosen", "rejected"):  # the dialogue is there again, nothing cut but outer white space
            speaker = "" if row["instruction"].startswith("Human:") else "Human: "
            whole = f"{speaker}{row['instruction']}\n\nAssistant: {row[side]}"
            assert "".join(whole.split()) == "".join(given[side].split())
        assert "\n\nAssistant:" not in row["chosen"] + row["rejected"]
    assert sum(row["instruction"].startswith("Human:") for row in rows) == 1645  # of several turns


def test_dialogues():
    one = "\n\nHuman: Hi.\n\nAssistant:"
    found = read_dialogue(f"{one} Yes. ", f"{one} No.")
    assert (found.prompt, found.chosen, found.rejected, found.goes_on) == ("Hi.", "Yes.", "No.", False)
    two = f"{one} Ho.\n\nHuman: Why?\n\nAssistant:"
    found = read_dialogue(f"{two} A", f"{two} B")
    assert found.prompt == "Human: Hi.\n\nAssistant: Ho.\n\nHuman: Why?"
    assert human_turns(found.prompt) == ["Hi.", "Why?"]
    assert read_dialogue(f"{two} A", f"{one} B").goes_on
    assert read_dialogue("plain", "plain") is None
    assert read_dialogue(f"{one} A", "\n\nHuman: Other.\n\nAssistant: A") is None


def test_an_evaluation_item_in_any_human_turn_is_left_out(tmp_path):
    start = f"\n\nHuman: {ITEM}\n\nAssistant: Hm.\n\nHuman: Go on.\n\nAssistant:"
    path = tmp_path / "hh.jsonl"
    path.write_text(json.dumps({"chosen": f"{start} a", "rejected": f"{start} b"}) + "\n")
    assert open_source(f"hh_rlhf:{path}").drops("pairs") == [{"row": 1, "reason": "evaluation_item"}]
    assert "drops all of its first 1 rows (evaluation_item)" in fault(read, f"hh_rlhf:{path}", "pairs", 1)


@real
def test_cross_annotations_are_mostly_of_evaluation_items(tmp_path):
    given = json.loads(gzip.decompress(CROSS.read_bytes()))
    path = written(tmp_path / "cross.json", [{**row, "preference": row["gpt4_b5"][0]} for row in given])
    rows, _, ledger = read(f"alpacafarm_preferences:{path}", "pairs", len(given))
    assert (ledger["rows_in"], ledger["dropped_evaluation_item"], len(rows)) == (648, 321, 327)


@pytest.mark.parametrize("form", ["list", "lines", "gz"])
def test_chosen_and_rejected_in_any_form(tmp_path, form):
    rows = [{"prompt": "P", "chosen": "a", "rejected": "b"}] * 2
    rows[1] = {"instruction": "I", "input": "J", "chosen": "c", "rejected": "d", "score": 3}
    text = json.dumps(rows) if form == "list" else "\n".join(map(json.dumps, rows))
    path = tmp_path / "pairs.json"
    path.write_bytes(gzip.compress(text.encode()) if form == "gz" else text.encode())
    found = read(f"preference_pairs:{path}", "pairs", 2)[0]
    assert [(r["instruction"], r["input"], r["chosen"], r["rejected"]) for r in found] == [
        ("P", "", "a", "b"),
        ("I", "J", "c", "d"),
    ]


@pytest.mark.parametrize(
    ("source", "row", "said"),
    [
        ("preference_pairs", {"prompt": "P", "chosen": "a"}, 'row 1: "rejected" is missing'),
        (
            "alpacafarm_preferences",
            {"instruction": "I", "output_1": "a", "output_2": "b"},
            'row 1: "preference" is absent; expected 1, 2',
        ),
        (
            "alpacafarm_preferences",
            {"instruction": "I", "output_1": "a", "output_2": "b", "preference": 3},
            'row 1: "preference" is 3; expected 1, 2',
        ),
        (
            "hh_rlhf",
            {"chosen": "a", "rejected": "b"},
            "row 1: two dialogues without the same beginning",
        ),
    ],
)
def test_a_preference_of_another_shape_is_one_line(tmp_path, source, row, said):
    path = written(tmp_path / "p.json", [row])
    assert f'"{path}": {said}' in fault(read, f"{source}:{path}", "pairs", 1)
    assert "no such file" in fault(open_source, f"{source}:nowhere.json")


# --- The recipe ---------------------------------------------------------------------------------------


def test_a_recipe_without_a_file_keeps_its_id_and_one_with_a_file_has_another_plan(tmp_path):
    plain = load_recipe("nano")
    assert "preferences_from" not in plain.content["data"]
    path = written(tmp_path / "p.json", [{"prompt": "P", "chosen": "a", "rejected": "b"}])
    sets = [f"data.preferences_from=preference_pairs:{path}", "data.preferences=1"]
    recipe = load_recipe("nano", sets)
    assert recipe.id != plain.id
    nodes = {node.label: node for node in build_plan(recipe, "rlp_spg", 0).nodes}
    assert nodes["import_preferences"].inputs["pairs"].label == "data-pairs"
    assert nodes["reward"].inputs["preferences"][0].label == "import_preferences"
    assert not {"preferences", "data-preferences"} & set(nodes)
    before = nodes["data-pairs"].fingerprint
    path.write_text(json.dumps([{"prompt": "P", "chosen": "a", "rejected": "c"}]))
    again = {node.label: node for node in build_plan(recipe, "rlp_spg", 0).nodes}
    assert again["data-pairs"].fingerprint != before
    assert again["sft"].fingerprint == nodes["sft"].fingerprint


def test_hub_files_are_not_fetched_to_make_a_plan():
    commit = "0123456789abcdef0123456789abcdef01234567"
    hub = f"hf://datasets/tatsu-lab/alpaca_farm@{commit}"
    sets = [
        f"data.source=alpacafarm_data:{hub}",
        f"data.preferences_from=alpacafarm_preferences:{hub}/alpaca_noisy_multi_preference.json",
    ]
    plan = build_plan(load_recipe("nano", sets), "ppo", 0)
    assert {"data-sft", "data-pairs", "data-unlabeled"} <= {node.label for node in plan.nodes}


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["data.preferences_from=hh_rlfh:x"], 'suite "hh_rlfh" is not installed; did you mean "hh_rlhf"'),
        (
            ["data.preferences_from=hh_rlhf:nowhere"],
            'data.preferences_from: preferences "hh_rlhf": "nowhere"',
        ),
        (["data.source=alpacafarm_data:nowhere"], 'data.source: data "alpacafarm_data": "nowhere"'),
        (["data.preferences_from=mmlu"], 'suite "mmlu" has no training splits'),
        (["data.source=llmbar_pairs:x"], 'suite "llmbar_pairs:x" has no training splits'),
    ],
)
def test_a_recipe_that_names_no_data_is_one_line(sets, said):
    with pytest.raises(BenchError) as caught:
        build_plan(load_recipe("nano", sets), "ppo", 0)
    assert said in str(caught.value)
    assert isinstance(caught.value, BenchError | DataError)


def test_hub_files_are_read_when_the_rows_are_asked_for(tmp_path):
    """From huggingface_hub's own cache, offline: a folder of splits and a file of preferences at a commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub" / "datasets--tatsu-lab--alpaca_farm" / "snapshots" / commit
    farm(snapshot, sft=[ROW])
    written(snapshot / "p.json", [{"instruction": "I", "output_1": "a", "output_2": "b", "preference": 2}])
    hub = f"hf://datasets/tatsu-lab/alpaca_farm@{commit}"
    code = f"""
from rlp_bench.recipes.data_sources import open_source, read_split
for reference, split in ("alpacafarm_data:{hub}", "sft"), ("alpacafarm_preferences:{hub}/p.json", "pairs"):
    print(read_split(reference, open_source(reference), split, 1)[0])"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "'response': '3'" in first
    assert "'preference': 2.0" in second


class Leaky:
    """A stranger's source that loses a row without a word."""

    version = "1"

    def split(self, name: str, n: int | None = None) -> list[dict[str, str]]:
        return [{"instruction": "Do.", "input": ""}] * 2


def test_a_source_whose_rows_do_not_add_up_is_refused():
    assert read_split("leaky", Leaky(), "dev", 2)[2] is None
    assert 'data.dev: 3 rows requested, "leaky" has 2' in fault(read_split, "leaky", Leaky(), "dev", 3)
