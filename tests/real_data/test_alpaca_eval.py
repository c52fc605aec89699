"""AlpacaEval's own files against its own leaderboards: every model whose verdicts lie in ../shared/data."""

import csv
import gzip
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE
from shared_files import shared

from rlp_bench.api.errors import DataError
from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.evaluation.outputs import read_outputs_file
from rlp_bench.store.store import Store

DATA = shared("data/alpaca_eval")
FARM = DATA.parent / "alpaca_farm" / "examples" / "eval_gpt-3.5-turbo-0301.json.gz"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs AlpacaEval's files in ../shared/data/alpaca_eval"
)
BOARDS = {
    "alpaca_eval_gpt4": "data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv",
    "weighted_alpaca_eval_gpt4_turbo": "data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv",
}
VERDICTS = sorted(DATA.glob("results/*/*/annotations.json.gz"))
DAVINCI = DATA / "results/text_davinci_001/alpaca_eval_gpt4/annotations.json.gz"
SUBSETS = {"selfinstruct": 252, "oasst": 188, "koala": 156, "helpful_base": 129, "vicuna": 80}


def published(path: Path) -> dict[str, str] | None:
    """The leaderboard's row of a verdict file's model, under the judge that its folder names."""
    with (DATA / "leaderboards" / BOARDS[path.parent.name]).open(encoding="utf-8") as lines:
        return next((row for row in csv.DictReader(lines) if row[""] == path.parents[1].name), None)


def outputs_of(path: Path) -> Path:
    return path.parents[1] / "model_outputs.json.gz"


def load(path: Path):
    return json.loads(gzip.decompress(path.read_bytes()))


def score(store: Store, outputs: Path, verdicts: Path, **options):
    found = eval_command(
        suites=["alpacafarm"], outputs=outputs, judge=f"replay:{verdicts}", store=store, **options
    )
    return found["suites"][0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_400_answers_with_their_400_verdicts_are_not_the_805(store, tmp_path):
    outputs, verdicts = tmp_path / "outputs.json", tmp_path / "annotations.json"
    outputs.write_text(json.dumps(load(outputs_of(DAVINCI))[:400]))
    asked = {row["instruction"] for row in json.loads(outputs.read_text())}
    verdicts.write_text(json.dumps([row for row in load(DAVINCI) if row["instruction"] in asked]))
    with pytest.raises(DataError, match='suite "alpacafarm": 400 of its 805 items are there'):
        score(store, outputs, verdicts)
    report = score(store, outputs, verdicts, allow_missing=True)
    assert (report["n_items"], report["absent_items"]) == (400, 405)


def test_the_files_are_there():
    assert len(VERDICTS) == 9
    assert {path.parent.name for path in VERDICTS} == set(BOARDS)


@pytest.mark.parametrize("path", VERDICTS, ids=lambda path: f"{path.parents[1].name}-{path.parent.name}")
def test_equals_the_published_leaderboard(path, store):
    report, row = score(store, outputs_of(path), path), published(path)
    assert {name: found["n"] for name, found in report["subsets"].items()} == {
        name: n - sum(r["dataset"] == name and r["preference"] is None for r in load(path))
        for name, n in SUBSETS.items()
    }
    if row is None:  # text_davinci_003 has no row on the second leaderboard: the formula itself
        scores = [r["preference"] - 1 for r in load(path)]
        assert report["win_rate"] == pytest.approx(100 * sum(scores) / 805, abs=1e-9)
        return
    assert report["win_rate"] == pytest.approx(float(row["win_rate"]), abs=1e-6)
    assert report["standard_error"] == pytest.approx(float(row["standard_error"]), abs=1e-6)
    assert report["discrete_win_rate"] == pytest.approx(float(row["discrete_win_rate"]), abs=1e-6)
    assert report["n_scored"] == int(row["n_total"])
    assert report["n_items"] == 805
    assert report["ties"] == int(row["n_draws"])


def test_items_without_an_output_are_counted_and_scored(store):
    report = score(store, outputs_of(DAVINCI), DAVINCI)
    assert report["coverage"] == {
        "judged": 804,
        "unparsed": 1,
        "truncated": 0,
        "failed": 0,
        "missing": 0,
        "missing_output": 2,
    }
    assert any("2 items have no answer" in warning for warning in report["warnings"])


def test_rows_and_sides_in_any_order_give_the_same(store, tmp_path):
    plain = score(store, outputs_of(DAVINCI), DAVINCI)
    verdicts, answers = load(DAVINCI), load(outputs_of(DAVINCI))
    for row in verdicts[::2]:
        for name in ("output", "generator"):
            row[f"{name}_1"], row[f"{name}_2"] = row[f"{name}_2"], row[f"{name}_1"]
        if row["preference"]:
            row["preference"] = 3 - row["preference"]
    random.Random(1).shuffle(verdicts)
    random.Random(2).shuffle(answers)
    (tmp_path / "v.json").write_text(json.dumps(verdicts))
    (tmp_path / "o.json").write_text(json.dumps(answers))
    mixed = score(store, tmp_path / "o.json", tmp_path / "v.json")
    assert mixed["win_rate"] == pytest.approx(plain["win_rate"], abs=1e-9)
    assert mixed["standard_error"] == pytest.approx(plain["standard_error"], abs=1e-9)
    assert mixed["coverage"] == plain["coverage"]


def test_an_unjudged_item_is_missing_and_an_unknown_one_an_error(store, tmp_path):
    verdicts, answers = load(DAVINCI)[1:], load(outputs_of(DAVINCI))
    (tmp_path / "v.json").write_text(json.dumps(verdicts))
    (tmp_path / "o.json").write_text(json.dumps(answers))
    report = score(store, tmp_path / "o.json", tmp_path / "v.json")
    assert report["coverage"]["missing"] == 1
    assert report["n_items"] == 805
    answers[0]["instruction"] += " Answer at once."
    (tmp_path / "o.json").write_text(json.dumps(answers))
    with pytest.raises(DataError, match="not in the suite"):
        score(store, tmp_path / "o.json", tmp_path / "v.json")


def test_the_wrong_models_outputs_are_refused(store):
    with pytest.raises(DataError, match="are not the ones that the verdict file judged"):
        score(store, DATA / "results/gpt4/model_outputs.json.gz", DAVINCI)


def test_with_the_data_file_the_references_are_its_own(store):
    [path] = [p for p in VERDICTS if p.parts[-3:-1] == ("alpaca-7b", "alpaca_eval_gpt4")]
    report = score(store, outputs_of(path), path, data=DATA / "alpaca_eval_805.json.gz")
    row = published(path)
    assert row is not None
    assert report["win_rate"] == pytest.approx(float(row["win_rate"]), abs=1e-6)
    assert report["subsets"]["vicuna"]["n"] == 80


def test_two_sets_of_references_never_look_alike(store):
    # P12: alpaca-7b against text_davinci_003 and against gpt4_1106_preview.
    first, second = (
        score(store, outputs_of(p), p)["data"] for p in VERDICTS if p.parents[1].name == "alpaca-7b"
    )
    assert first["items"] == second["items"]
    assert first["outputs"] == second["outputs"]
    assert first["references"] != second["references"]


@pytest.mark.skipif(
    not FARM.exists(), reason="needs AlpacaFarm's example outputs in ../shared/data/alpaca_farm"
)
def test_alpacafarm_unmerged_inputs_are_the_same_805(store):
    # P11, P13: 804 distinct instructions, 805 with their inputs; merged they are AlpacaEval's.
    rows = load(FARM)
    assert len({row["instruction"] for row in rows}) == 804
    assert len(read_outputs_file(FARM)) == 805
    [report] = eval_command(
        outputs=FARM, data=DATA / "alpaca_eval_805.json.gz", judge="longest", store=store
    )["suites"]
    assert report["n_scored"] == 805


def test_the_command_line_prints_the_published_digits(tmp_path):
    command = shutil.which("rlp-bench", path=str(Path(sys.executable).parent))
    assert command
    arguments = ["eval", "--suite", "alpacafarm", "--outputs", str(outputs_of(DAVINCI)), "--json"]
    done = subprocess.run(
        [command, *arguments, "--judge", f"replay:{DAVINCI}", "--store", str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    [report], row = json.loads(done.stdout)["suites"], published(DAVINCI)
    assert row is not None
    assert report["win_rate"] == pytest.approx(float(row["win_rate"]), abs=1e-6)
    assert report["standard_error"] == pytest.approx(float(row["standard_error"]), abs=1e-6)
    assert report["n_items"] == 805
