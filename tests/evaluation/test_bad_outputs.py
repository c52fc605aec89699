"""A file that cannot be scored gets one line, and the store is as if nothing had been asked."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE

from rlp_bench.api.errors import BenchError, DataError, UnknownName
from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.evaluation.outputs import read_artifact
from rlp_bench.micro import load_world


def good_rows():
    return [
        {"instruction": i.instruction, "output": "it is red .", "generator": "me"}
        for i in load_world().alpacafarm()
    ]


def packed(rows):
    return gzip.compress(json.dumps(rows).encode())


BROKEN = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "not_json": (b"instruction,output\n", "not JSON, or truncated"),
    "truncated": (json.dumps([{"instruction": "a", "output": "b"}]).encode()[:-5], "not JSON, or truncated"),
    "truncated_gzip": (packed([{"instruction": "a", "output": "b"}])[:-9], "is damaged gzip"),
    "latin1": ('[{"instruction": "é", "output": "b"}]'.encode("latin-1"), "not text in UTF-8"),
    "object": (b'{"suites": []}', 'row 1: "instruction" is missing'),
    "line_cut": (b'{"instruction": "a", "output": "b"}\n\n{"instr', "not JSON, or truncated .* at line 3"),
    "text": (b'"hello"', "contains a JSON text"),
    "empty_list": (b"[]", "is an empty list"),
    "list_of_texts": (b'["a"]', "row 1 is a text"),
    "no_output": (b'[{"instruction": "a"}]', 'row 1: "output" is missing'),
    "no_instruction": (b'[{"output": "a"}]', 'row 1: "instruction" is missing'),
    "null_output": (b'[{"instruction": "a", "output": null}]', '"output" is not text'),
    "number": (b'[{"instruction": "a", "output": 3}]', '"output" is not text'),
    "input": (b'[{"instruction": "a", "output": "b", "input": 3}]', '"input" is not text'),
    "verdicts": (b'[{"instruction": "a", "output_1": "b", "output_2": "c"}]', '"output" is missing'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_one_line_and_nothing_is_written(name, tmp_path, store):
    content, said = BROKEN[name]
    path = tmp_path / "outputs.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as error:
        eval_command(outputs=path, recipe="nano", store=store)
    assert "\n" not in str(error.value)
    assert "outputs.json" in str(error.value)
    assert not store.root.exists()


def write(path: Path, rows) -> Path:
    path.write_text(json.dumps(rows))
    return path


def test_duplicate_item_names_both_rows(tmp_path, store):
    rows = good_rows()
    path = write(tmp_path / "o.json", [*rows, rows[3]])
    with pytest.raises(DataError, match="row 806 answers the same instruction as row 4"):
        eval_command(outputs=path, recipe="nano", store=store)


def test_unknown_item_is_shown(tmp_path, store):
    path = write(tmp_path / "o.json", [*good_rows(), {"instruction": "who are you ?", "output": "me"}])
    with pytest.raises(DataError, match='not in the suite: "who are you \\?"'):
        eval_command(outputs=path, recipe="nano", store=store)
    assert not store.root.exists()


def test_up_to_one_percent_may_be_missing(tmp_path, store):
    rows = good_rows()
    with pytest.raises(DataError, match="9 of 805 items have no answer"):
        eval_command(outputs=write(tmp_path / "o.json", rows[9:]), recipe="nano", store=store)
    assert not store.root.exists()
    path = write(tmp_path / "o.json", rows[8:])
    [report] = eval_command(outputs=path, recipe="nano", judge="longest", store=store)["suites"]
    assert report["coverage"] == {
        "judged": 797,
        "unparsed": 0,
        "truncated": 0,
        "failed": 0,
        "missing": 8,
        "missing_output": 8,
    }
    path = write(tmp_path / "o.json", rows[400:])
    options = {"outputs": path, "recipe": "nano", "judge": "longest", "store": store}
    [report] = eval_command(**options, allow_missing=True)["suites"]
    assert report["n_scored"] == 405
    assert any("400 of 805 items have no score" in warning for warning in report["warnings"])


def test_nul_and_surrogates_survive(tmp_path, store):
    rows = good_rows()
    strange = ["\x00nul\x00", "\ud800 lone surrogate", "line\u2028separator\x1f", "{output_2} <|im_end|>"]
    for row, text in zip(rows, strange, strict=False):
        row["output"] = text
    path = write(tmp_path / "o.json", rows)
    [report] = eval_command(outputs=path, recipe="nano", judge="longest", store=store)["suites"]
    assert report["n_scored"] == 805
    kept = read_artifact(store.open(store.artifacts / report["artifacts"]["outputs"]))
    assert [row["output"] for row in kept.values()][: len(strange)] == strange


def test_unknown_names_have_the_nearest(tmp_path, store):
    path = write(tmp_path / "o.json", good_rows())
    with pytest.raises(UnknownName, match='did you mean "alpacafarm"'):
        eval_command(outputs=path, suites=["alpacafram"], recipe="nano", store=store)
    with pytest.raises(UnknownName, match='did you mean "micro_pool"'):
        eval_command(outputs=path, judge="micro_pol", recipe="nano", store=store)
    with pytest.raises(UnknownName, match='did you mean "all"'):
        eval_command(outputs=path, judge="micro_pool:al", recipe="nano", store=store)
    with pytest.raises(UnknownName, match='did you mean "both"'):
        eval_command(outputs=path, order="boht", recipe="nano", store=store)
    assert not store.root.exists()


def test_a_suite_that_asks_a_policy_cannot_score_answers(tmp_path, store):
    path = write(tmp_path / "o.json", good_rows())
    with pytest.raises(DataError, match="asks a policy, not a file of answers"):
        eval_command(outputs=path, suites=["mmlu"], recipe="nano", store=store)


def test_one_source_at_a_time(tmp_path, store):
    with pytest.raises(BenchError, match="--run and --outputs were given"):
        eval_command(outputs=tmp_path / "o.json", run="x", store=store)
    with pytest.raises(BenchError, match="eval --data: no suite; give --suite NAME"):
        eval_command(data=tmp_path / "o.json", store=store)


def test_the_command_exits_with_two_and_one_line(tmp_path):
    command = shutil.which("rlp-bench", path=str(Path(sys.executable).parent))
    assert command
    path = write(tmp_path / "o.json", [{"instruction": "a"}])
    arguments = ["eval", "--outputs", str(path), "--recipe", "nano", "--store", str(tmp_path / "s"), "--json"]
    done = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "s").exists()
